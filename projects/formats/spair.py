"""SPair-71k: images, pairs and layouts as the published readers expect them (FORMATS 1)."""

from projects.formats.spair_read import read
from projects.formats.spair_write import ROOT, losses, write

__all__ = ["ROOT", "losses", "read", "write"]
