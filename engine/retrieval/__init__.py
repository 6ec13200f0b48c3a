"""Search in collections: pooled descriptors, the vector index, region likeness and ranking."""
