"""SPair-71k: images, pairs and layouts as the published readers expect them (methods/formats.md#spair)."""

from kinmark.projects.formats.spair_read import read
from kinmark.projects.formats.spair_write import ROOT, losses, rehearse, write

__all__ = ["ROOT", "losses", "read", "rehearse", "write"]
