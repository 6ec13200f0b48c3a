"""SLEAP `.slp`: see `sleap`."""

from projects.formats.sleap import losses
from projects.formats.sleap import read_slp as read
from projects.formats.sleap import write_slp as write

__all__ = ["losses", "read", "write"]
