"""PF-Willow: see `pf` and `pf_read`."""

from kinmark.projects.formats.pf import losses_willow as losses
from kinmark.projects.formats.pf import rehearse_willow as rehearse
from kinmark.projects.formats.pf import write_willow as write
from kinmark.projects.formats.pf_read import read_willow as read

__all__ = ["losses", "read", "rehearse", "write"]
