"""Label Studio: one file of tasks, read and written."""

from kinmark.projects.formats.label_studio_read import FILE_NAME, read
from kinmark.projects.formats.label_studio_write import losses, write

__all__ = ["FILE_NAME", "losses", "read", "write"]
