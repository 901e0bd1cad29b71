"""Learning-rate schedules: each gives the rate of a step, from 0, of a stage.

They are set by a callback and not built into the optimizer, so that a training that was interrupted goes on with them
and a saved model holds no class of ours.
"""

import math
from collections.abc import Sequence

from pipeline_config.experiment import Train
from tasks.train.steps import Steps

# Of one cycle, as in Smith and Topin (Super-Convergence, 2018) with fastai's and PyTorch's values: the rate rises from
# a 25th to the whole in the first 30 % of the steps, then falls to a 10,000th of where it began, both along a cosine.
_START, _END, _RISING = 1 / 25, 1e-4 / 25, 0.3

# Of the triangle, as in airbench94 (Jordan 2024, arXiv:2404.00498, in the published code): share of the whole rate at
# the first step, of the steps until the peak, and of the rate at the end, where `lookahead` averages the weights as
# there. Where nothing averages them the rate falls to 0.
_FOOT, _PEAK, _AVERAGED_END = 0.2, 0.23, 0.07

_REDUCTION = 0.2  # of a rate at a plateau; Keras's documentation uses it in its example


def learning_rate(train: Train, step: int, steps: Steps, val_losses: Sequence[float] = ()) -> float:
    """The rate of one step.

    Args:
        train: settings of one stage.
        step: from 0, counted over the stage.
        steps: of the stage.
        val_losses: of the stage's finished epochs.
    """
    return train.learning_rate * _share(train, step, steps, val_losses)


def _share(train: Train, step: int, steps: Steps, val_losses: Sequence[float]) -> float:
    last = steps.total
    if train.schedule == "linear":
        return 1 - step / last
    if train.schedule == "cosine":
        return _cosine(step, steps.before(train.warmup_epochs), last)
    if train.schedule == "one_cycle":
        return _one_cycle(step / last)
    if train.schedule == "triangular":
        return _triangular(step / last, _AVERAGED_END if train.lookahead else 0.0)
    if train.schedule == "reduce_on_plateau":
        return _REDUCTION ** plateaus(val_losses, train.plateau_patience)
    return 1.0


def _cosine(step: int, warmup: int, last: int) -> float:
    """A straight rise that reaches 1 after `warmup` steps, then half a cosine that reaches 0 after the last."""
    if step < warmup:
        return (step + 1) / warmup
    return _half_wave((step - warmup) / (last - warmup), 1.0, 0.0)


def _one_cycle(done: float) -> float:
    if done < _RISING:
        return _half_wave(done / _RISING, _START, 1.0)
    return _half_wave((done - _RISING) / (1 - _RISING), 1.0, _END)


def _triangular(done: float, end: float) -> float:
    """Straight up to the peak, straight down to the end."""
    if done < _PEAK:
        return _FOOT + (1.0 - _FOOT) * done / _PEAK
    return end + (1.0 - end) * (1.0 - done) / (1 - _PEAK)


def _half_wave(done: float, start: float, end: float) -> float:
    """From start to end along half a cosine, `done` in 0..1."""
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def plateaus(val_losses: Sequence[float], patience: int) -> int:
    """How often so many epochs in a row were without a validation loss lower than all before."""
    best, waited, found = math.inf, 0, 0
    for loss in val_losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited == patience:
            waited, found = 0, found + 1
    return found
