"""The heads of a network: `probabilities` of the classes, `box`, or both."""

from typing import Any


def head_sizes(network: Any) -> dict[str, int]:
    """Head -> numbers that it gives for an image: the classes, and the four of a box.

    Args:
        network: a functional Keras model; what is no dict gives probabilities.
    """
    if not isinstance(network.output, dict):
        return {"probabilities": network.output_shape[-1]}
    return {head: output.shape[-1] for head, output in network.output.items()}
