"""Where photos and votes come from: one module a source, and the refresh that writes shards and catalog."""
