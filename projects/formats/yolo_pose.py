"""YOLO pose: see `yolo` and `yolo_read`."""

from kinmark.projects.formats.yolo import losses_pose as losses
from kinmark.projects.formats.yolo import rehearse_pose as rehearse
from kinmark.projects.formats.yolo import write_pose as write
from kinmark.projects.formats.yolo_read import read_pose as read

__all__ = ["losses", "read", "rehearse", "write"]
