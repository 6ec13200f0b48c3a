"""Windows that open over the main window; none of them is needed while labelling."""
