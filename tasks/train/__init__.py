"""Manifest and model of the experiment -> trained model in MLflow."""
