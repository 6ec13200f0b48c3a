"""File formats: one module each with `read` and `write`, between files and the neutral `Dataset`."""
