"""COCO keypoints + instances: the exchange format that keeps everything (methods/formats.md#coco)."""

from kinmark.projects.formats.coco_read import read
from kinmark.projects.formats.coco_write import FILE_NAME, losses, write

__all__ = ["FILE_NAME", "losses", "read", "write"]
