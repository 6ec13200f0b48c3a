"""YOLO seg: see `yolo` and `yolo_read`."""

from kinmark.projects.formats.yolo import losses_seg as losses
from kinmark.projects.formats.yolo import rehearse_seg as rehearse
from kinmark.projects.formats.yolo import write_seg as write
from kinmark.projects.formats.yolo_read import read_seg as read

__all__ = ["losses", "read", "rehearse", "write"]
