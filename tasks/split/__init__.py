"""Manifest -> manifest with a split for every image."""
