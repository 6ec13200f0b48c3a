"""The models on this machine: list, add, download, verify, try out, remove."""
