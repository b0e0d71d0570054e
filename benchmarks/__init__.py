"""Measurements of gbe against what it is built on, as ratios within one run: ``python -m benchmarks``."""
