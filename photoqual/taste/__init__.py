"""One person's taste: the champion corrected by 20 to 2,000 of their own ratings, kept only where it is better."""
