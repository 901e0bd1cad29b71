"""One sentence and one word for how a training went, read from its curves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["diverged", "overfitting", "still_improving", "underfitting", "good"]

History = Mapping[str, Sequence[float]]
"""Metric -> one value an epoch."""

SERIES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")

GAP = 0.1
"""Training above validation accuracy: half the 95 % interval of an accuracy on 100 images is 0.1 at its widest."""
RISE = 0.1
"""Nats that a loss has risen: the geometric mean of the true classes' probabilities fell by 10 %."""
GAIN = 0.01
"""Nats that the validation loss fell of late, for which more epochs are worth their time: 1 % of that probability."""
LATE = 5
"""The last fifth of the epochs is of late."""
JITTER = 2
"""A validation loss goes up and down from epoch to epoch: its lowest may be the last but one while it still falls."""
LOW_ACCURACY = 0.7
"""Not even the images that the model was shown are told apart. Meant for a few classes: of 1,000 it would be high."""


@dataclass(frozen=True)
class Diagnosis:
    """What the curves say.

    Attributes:
        kind: `diverged`, `overfitting`, `still_improving`, `underfitting` or `good`.
        sentence: the same for people, with the figures that it rests on.
    """

    kind: Kind
    sentence: str


def diagnose(history: History, chosen_epoch: int) -> Diagnosis:
    """Judge the weights that were kept, by the first of the kinds that fits.

    `diverged`: a figure is infinite or not a number, or the training loss ended higher than it began. `overfitting`:
    the validation loss had risen while the training loss fell. `still_improving`: the validation loss fell until the
    end. `overfitting` again: the training accuracy is far above the validation accuracy. `underfitting`: both
    accuracies are low. Else `good`. Of a single epoch, as a model without epochs has, the last three can be told.

    Args:
        history: one value an epoch under each of `SERIES`, losses in nats, accuracies in 0..1; others are not read.
        chosen_epoch: whose weights were kept; epochs count from 1.

    Raises:
        ValueError: a series is missing or of another length, or there is no such epoch.
    """
    _check(history, chosen_epoch)
    for judge in (_diverged, _rising, _still_improving, _gap, _underfitting):
        if diagnosis := judge(history, chosen_epoch):
            return diagnosis
    return Diagnosis("good", f"Good: {_accuracies(history, chosen_epoch)}{_what_was_left(history, chosen_epoch)}.")


def _check(history: History, chosen_epoch: int) -> None:
    lengths = {name: len(history.get(name, ())) for name in SERIES}
    epochs = lengths["train_loss"]
    if epochs == 0 or set(lengths.values()) != {epochs}:
        told = ", ".join(f"{name} of {length}" for name, length in lengths.items())
        raise ValueError(f"history: expected one value an epoch in each series; received {told}")
    if not 1 <= chosen_epoch <= epochs:
        raise ValueError(f"chosen_epoch: expected 1 to {epochs}, epochs count from 1; received {chosen_epoch}")


def _diverged(history: History, _: int) -> Diagnosis | None:
    mend = "a lower learning rate is the usual mend"
    for epoch, figures in enumerate(zip(*(history[name] for name in SERIES), strict=True), start=1):
        for name, figure in zip(SERIES, figures, strict=True):
            if not math.isfinite(figure):
                return Diagnosis("diverged", f"Diverged: {name} became {figure} at epoch {epoch}; {mend}.")
    losses = history["train_loss"]
    if losses[-1] > losses[0] + RISE:
        rise = f"rose from {losses[0]:.3g} at epoch 1 to {losses[-1]:.3g} at epoch {len(losses)}"
        return Diagnosis("diverged", f"Diverged: the training loss {rise}; {mend}.")
    return None


def _rising(history: History, chosen_epoch: int) -> Diagnosis | None:
    losses, train_losses = history["val_loss"], history["train_loss"]
    chosen, lowest = chosen_epoch - 1, _lowest(losses[:chosen_epoch])
    if losses[chosen] <= losses[lowest] + RISE or train_losses[chosen] >= train_losses[lowest]:
        return None
    rise = f"rose from {losses[lowest]:.3g} at epoch {lowest + 1} to {losses[chosen]:.3g} at epoch {chosen_epoch}"
    mend = "train.early_stopping_patience would keep the earlier epoch"
    return Diagnosis("overfitting", f"Overfitting: the validation loss {rise} while the training loss fell; {mend}.")


def _still_improving(history: History, _: int) -> Diagnosis | None:
    losses = history["val_loss"]
    epochs = len(losses)
    before = epochs - max(1, epochs // LATE)
    lowest = _lowest(losses)
    if before < 1 or lowest < max(before, epochs - JITTER):
        return None
    earlier = _lowest(losses[:before])
    if losses[earlier] - losses[lowest] < GAIN:
        return None
    fall = f"fell from {losses[earlier]:.3g} at epoch {earlier + 1} to {losses[lowest]:.3g} at epoch {lowest + 1}"
    return Diagnosis(
        "still_improving",
        f"Still improving: the validation loss {fall} of {epochs}; more epochs are likely to lower it further.",
    )


def _gap(history: History, chosen_epoch: int) -> Diagnosis | None:
    gap = history["train_accuracy"][chosen_epoch - 1] - history["val_accuracy"][chosen_epoch - 1]
    if gap <= GAP:
        return None
    mend = "more images, augmentation or dropout would narrow the gap"
    return Diagnosis("overfitting", f"Overfitting: {_accuracies(history, chosen_epoch)}; {mend}.")


def _underfitting(history: History, chosen_epoch: int) -> Diagnosis | None:
    # The higher of both: dropout and augmentation are on while the training accuracy is taken, which lowers it.
    if max(history[name][chosen_epoch - 1] for name in ("train_accuracy", "val_accuracy")) >= LOW_ACCURACY:
        return None
    mend = "a larger model, another learning rate or less regularisation may help"
    return Diagnosis("underfitting", f"Underfitting: {_accuracies(history, chosen_epoch)}; {mend}.")


def _accuracies(history: History, chosen_epoch: int) -> str:
    train, validation = (history[name][chosen_epoch - 1] for name in ("train_accuracy", "val_accuracy"))
    epochs = len(history["val_loss"])
    where = f" at epoch {chosen_epoch} of {epochs}" if epochs > 1 else ""
    return f"accuracy is {train:.3f} on training and {validation:.3f} on validation images{where}"


def _what_was_left(history: History, chosen_epoch: int) -> str:
    """That the epochs after the chosen one had become worse, where they had."""
    chosen, last = history["val_loss"][chosen_epoch - 1], history["val_loss"][-1]
    return f"; its weights were kept, the validation loss rose to {last:.3g} after it" if last > chosen + RISE else ""


def _lowest(losses: Sequence[float]) -> int:
    return min(range(len(losses)), key=losses.__getitem__)
