"""Lookahead: every few steps the weights return part of the way to their own slow average.

Zhang et al., Lookahead Optimizer: k steps forward, 1 step back, 2019 (arXiv:1907.08610), as airbench94 has it (Jordan
2024, arXiv:2404.00498, in the published code): the average hardly counts at first, and 0.77 of it at the end.
"""

from collections.abc import Sequence
from typing import Any

_STEPS = 5  # from one return to the next
_KEPT = 0.95  # of the average a step, at the end of the training


class Lookahead:
    """The slow average of one training.

    At the end of every epoch weights and average are the same: what is validated and kept is the average, and a
    training that is interrupted needs no average to go on.
    """

    def __init__(self, model: Any) -> None:
        """Begin with the weights as they are.

        Args:
            model: the moving averages of its batch normalisation are averaged as well.
        """
        import tensorflow as tf

        self._since = 0
        self._return = tf.function(_return, autograph=False)
        self._fast = [variable.value for variable in model.weights if variable.dtype == "float32"]
        self._slow = [tf.Variable(variable, trainable=False) for variable in self._fast]

    def after_step(self, done: float, ends_epoch: bool) -> None:
        """Return, where it is time to.

        Args:
            done: share of the training, 0 to 1.
            ends_epoch: the step is the last one of its epoch.
        """
        import tensorflow as tf

        self._since += 1
        if self._since == _STEPS or ends_epoch:
            self._return(self._fast, self._slow, tf.constant(_KEPT**self._since * done**3, tf.float32))
            self._since = 0


def _return(fast: Sequence[Any], slow: Sequence[Any], kept: Any) -> None:
    for weight, average in zip(fast, slow, strict=True):
        average.assign(kept * average + (1 - kept) * weight)
        weight.assign(average)
