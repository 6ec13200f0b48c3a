"""JABS poses: see `sleap`. Read only: they are predictions of whole clips."""

from kinmark.projects.formats.sleap import read_jabs as read

__all__ = ["read"]
