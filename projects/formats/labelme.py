"""labelme JSON: one file per photo (methods/formats.md#labelme)."""

from kinmark.projects.formats.labelme_read import read
from kinmark.projects.formats.labelme_write import losses, rehearse, write

__all__ = ["losses", "read", "rehearse", "write"]
