"""Measures, data set readers and reports."""
