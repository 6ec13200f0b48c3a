"""Mouse tools of the canvas: each turns presses, moves and releases into intents."""
