"""An open project as the window sees it: one writer, change signals, what is current, what comes next."""
