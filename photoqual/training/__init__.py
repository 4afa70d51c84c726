"""From shards to a trained model: the input pipeline and one linear trainer."""
