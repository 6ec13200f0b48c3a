"""DeepLabCut CSV and HDF5 labels (methods/formats.md#deeplabcut)."""

from kinmark.projects.formats.deeplabcut_read import read
from kinmark.projects.formats.deeplabcut_write import losses, rehearse, write

__all__ = ["losses", "read", "rehearse", "write"]
