"""Great Expectations over catalog and labels; a failure stops everything after it."""
