"""SLEAP `.slp`: see `sleap`."""

from kinmark.projects.formats.sleap import losses
from kinmark.projects.formats.sleap import read_slp as read
from kinmark.projects.formats.sleap import write_slp as write

__all__ = ["losses", "read", "write"]
