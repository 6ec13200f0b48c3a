"""What speaks for a position: signals of the maps, the way back to the exemplar, and whether the point is there at all."""
