"""One file a model family; the file's name is its name in the configuration.

A family has `build(input_shape, num_outputs, *, ...)`, which returns an unfitted Keras model or scikit-learn classifier
of raw pixels, and `SMALLEST`, the parameters of its smallest useful instance for tests. The keyword-only parameters of
`build`, with their types and defaults, are what an experiment may set.

A family whose layers can be frozen says so with `HAS_BACKBONE`, and one that may have to download weights gives, in
`without_download(params)`, parameters of the same network without them. One that cannot take every setting of a
training refuses it in `check_train(params, train, where)`; one whose fit may take hours says so beforehand in
`cost_warning(images, input_shape, num_outputs, **params)`. A family with a parameter `heads` may be without a class
head; with a box head its model answers with a dict of heads, as `tasks/train/heads.py` tells.
"""
