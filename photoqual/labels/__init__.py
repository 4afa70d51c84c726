"""Labels and splits: rules that turn votes into labels, and the frozen test set."""
