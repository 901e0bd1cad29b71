"""Evaluated models side by side: one table, ranked, with what cannot be told apart marked."""
