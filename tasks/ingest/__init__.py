"""Source -> listing: which images there are, with their labels."""
