"""Three stages, the first two with a skip connection (recipe R6c: CIFAR-10, 0.592 reported, not converged).

The connection is the projection shortcut of He et al., Deep Residual Learning for Image Recognition, 2016. A stage is a
convolution, a max-pooling and batch normalisation, as in `cnn_batchnorm` with `normalisation: after_pooling` (recipe
R6a).
"""

from typing import Annotated, Any

from pydantic import Field

from tasks.train.layers import Widths, batch_normalised, check_poolings, classifier, raw_pixels

SMALLEST = {"filters": (4, 8)}

_SKIPPED_STAGES = 2


def build(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    filters: Annotated[Widths, Field(min_length=_SKIPPED_STAGES)] = (256, 256, 256),
) -> Any:
    """A Keras model from raw pixels to probabilities.

    Args:
        input_shape: height, width, 3; images of other sizes are resized to it in the graph.
        num_outputs: number of classes.
        filters: of each stage's 3×3 same ReLU convolution; one stage each, at least two. To the output of the first two
            stages' max-pooling a 1×1 stride-2 convolution of the stage's input is added.

    Raises:
        ConfigurationError: more stages than the image can be halved.
    """
    import keras
    from keras import layers

    check_poolings(input_shape, len(filters))
    pixels, x = raw_pixels(input_shape)
    for stage, width in enumerate(filters, start=1):
        stage_input = x
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        # "same": an odd side is rounded up, as the 1×1 stride-2 convolution does; even sides are the same either way.
        x = layers.MaxPooling2D(padding="same")(x)
        if stage <= _SKIPPED_STAGES:
            x = layers.Add()([x, layers.Conv2D(width, 1, strides=2)(stage_input)])
        x = batch_normalised(x)
    return keras.Model(pixels, classifier(x, num_outputs, (), 0.0), name="cnn_residual")
