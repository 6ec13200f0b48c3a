"""CVAT for images 1.1 (FORMATS 4.2)."""

from projects.formats.cvat_read import read
from projects.formats.cvat_write import FILE_NAME, losses, write

__all__ = ["FILE_NAME", "losses", "read", "write"]
