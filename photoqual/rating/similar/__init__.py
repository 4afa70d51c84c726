"""Photos that are alike: an index over the features of a model, kept on disk and brought up to date as photos come."""
