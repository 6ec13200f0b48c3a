"""CVAT for images 1.1 (methods/formats.md#cvat)."""

from kinmark.projects.formats.cvat_read import read
from kinmark.projects.formats.cvat_write import FILE_NAME, losses, write

__all__ = ["FILE_NAME", "losses", "read", "write"]
