"""The window: PySide6 only; draws and asks, never computes."""
