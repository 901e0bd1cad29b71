"""Trained model and test rows -> predictions table, metrics, pictures."""
