"""Where a whole exemplar lies in the target: votes, the common shape, and which side it shows."""
