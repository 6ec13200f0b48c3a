"""NWB poses: see `sleap`."""

from kinmark.projects.formats.sleap import losses_nwb as losses
from kinmark.projects.formats.sleap import read_nwb as read
from kinmark.projects.formats.sleap import write_nwb as write

__all__ = ["losses", "read", "write"]
