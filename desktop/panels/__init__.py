"""Dockable parts of the main window."""
