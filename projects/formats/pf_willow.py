"""PF-Willow: see `pf` and `pf_read`."""

from projects.formats.pf import losses_willow as losses
from projects.formats.pf import rehearse_willow as rehearse
from projects.formats.pf import write_willow as write
from projects.formats.pf_read import read_willow as read

__all__ = ["losses", "read", "rehearse", "write"]
