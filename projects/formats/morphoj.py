"""MorphoJ text tables: see `tps`. Written only: a table names specimens, not photos."""

from kinmark.projects.formats.tps import losses_morphoj as losses
from kinmark.projects.formats.tps import rehearse
from kinmark.projects.formats.tps import write_morphoj as write

__all__ = ["losses", "rehearse", "write"]
