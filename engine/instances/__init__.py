"""Find one instance again: PDM maps (ALGORITHMS 5), mask refinement and the "not here" decision."""
