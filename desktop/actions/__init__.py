"""Every command of the window in one table, its keys, and the key maps that change them."""
