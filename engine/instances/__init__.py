"""Find one instance again: PDM maps (methods/instances.md), mask refinement and the "not here" decision."""
