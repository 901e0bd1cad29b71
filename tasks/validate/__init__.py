"""Listing -> manifest: every image decoded once, and expectations over the whole set."""
