"""What a photo is to us: safe decoding, the working copy, shards, the catalog, fingerprints and measures."""
