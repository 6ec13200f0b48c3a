"""The main window, put together from small parts."""
