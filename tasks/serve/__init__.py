"""A model in MLflow -> answers about images that it has never seen."""
