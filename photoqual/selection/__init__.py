"""Many trainings on one data version: the ladder of kinds, and the search for better params."""
