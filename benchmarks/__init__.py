"""Figures on real data and limits, set beside goals and published results. Run with `make bench-quality` and its siblings."""
