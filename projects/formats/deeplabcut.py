"""DeepLabCut CSV and HDF5 labels (FORMATS 4.6)."""

from projects.formats.deeplabcut_read import read
from projects.formats.deeplabcut_write import losses, write

__all__ = ["losses", "read", "write"]
