"""NWB poses: see `sleap`."""

from projects.formats.sleap import losses_nwb as losses
from projects.formats.sleap import read_nwb as read
from projects.formats.sleap import write_nwb as write

__all__ = ["losses", "read", "write"]
