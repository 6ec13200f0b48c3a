"""Search in collections: pooled vectors of photos, their index, region likeness and ranking."""
