"""Measurements: each file is one command, `python -m benchmarks.NAME`, and prints a table of ratios."""
