"""How ratings are written: a module per format, and the file that they are kept in while they come."""
