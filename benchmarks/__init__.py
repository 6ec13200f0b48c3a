"""Measurements: each module has `main(argv)`, prints a table and writes JSON (`--json FILE`)."""
