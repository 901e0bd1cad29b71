"""One file a model family; the file's name is its name in the configuration.

A family has `build(input_shape, num_outputs, *, ...)`, which returns an unfitted Keras model or scikit-learn classifier
of raw pixels, and `SMALLEST`, the parameters of its smallest useful instance for tests. The keyword-only parameters of
`build`, with their types and defaults, are what an experiment may set.
"""
