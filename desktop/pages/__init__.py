"""Whole pages beside the canvas: start, part grid, identities, statistics."""
