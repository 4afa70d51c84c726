"""Cull a gallery: one of each burst and of near duplicates, brackets and panoramas whole, then the best of what is left."""
