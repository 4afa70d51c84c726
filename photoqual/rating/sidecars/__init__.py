"""Write ratings into XMP sidecars, and take them out again, with every other statement left as it is."""
