"""How good a model is on the frozen test set: metrics, significance, plots."""
