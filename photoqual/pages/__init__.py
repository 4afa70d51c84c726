"""Pages for people: one HTML file each that needs nothing else, from templates that escape what they are given."""
