"""One folder a stage, in the order in which data flows through them."""
