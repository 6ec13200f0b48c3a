"""PF-Pascal: see `pf` and `pf_read`."""

from kinmark.projects.formats.pf import losses_pascal as losses
from kinmark.projects.formats.pf import rehearse_pascal as rehearse
from kinmark.projects.formats.pf import write_pascal as write
from kinmark.projects.formats.pf_read import read_pascal as read

__all__ = ["losses", "read", "rehearse", "write"]
