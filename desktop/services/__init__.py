"""What keeps the open project going behind the window: its connection, the store thread, backups, watching files, the index."""
