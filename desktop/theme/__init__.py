"""Look: colours of states, light and dark palettes, tinted icons."""
