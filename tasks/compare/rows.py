"""One model as a row of the comparison."""

import math
from dataclasses import dataclass

from tasks.compare.settings_in_words import describe_augmentation, describe_optimizer
from tasks.tracking import LoggedRun


@dataclass(frozen=True)
class Row:
    """A model's figures, named as its run's metrics, and how it was made; None is what its run does not tell.

    Attributes:
        rank: by test accuracy among the models of one group, from 1; those of boxes alone follow, by mean IoU.
        tied_with_best: whether the paired test cannot tell the model from the best one; None where it was not made.
        batch_normalization: whether the network has such layers.
        dropout: the rates, as `0.15, 0.25`, or `none`.
        optimizer: name and learning rate, of each stage.
        loss: the loss function that was minimised.
    """

    rank: int
    tied_with_best: bool | None
    model: str
    family: str | None
    test_accuracy: float | None
    test_accuracy_low: float | None
    test_accuracy_high: float | None
    test_loss: float | None
    test_macro_f1: float | None
    test_macro_recall: float | None
    chosen_val_accuracy: float | None
    outside_accuracy: float | None
    test_mean_iou: float | None
    layers: int | None
    dense_layers: int | None
    parameters: int | None
    trainable_parameters: int | None
    epochs: int | None
    augmentation: str | None
    batch_normalization: bool | None
    dropout: str | None
    optimizer: str | None
    loss: str | None
    fit_seconds: float | None
    predict_ms_per_image: float | None
    diagnosis: str | None
    comment: str | None
    experiment: str
    run_id: str
    test_digest: str


def make_row(run: LoggedRun, rank: int, tied_with_best: bool | None) -> Row:
    """The row of a run."""
    params = run.params if run.is_network else {}  # those of `train` are logged for all, and heeded by networks alone
    return Row(
        rank=rank,
        tied_with_best=tied_with_best,
        model=run.name,
        family=run.params.get("family"),
        test_accuracy=_figure(run, "test_accuracy"),
        test_accuracy_low=_figure(run, "test_accuracy_low"),
        test_accuracy_high=_figure(run, "test_accuracy_high"),
        test_loss=_figure(run, "test_loss"),
        test_macro_f1=_figure(run, "test_macro_f1"),
        test_macro_recall=_figure(run, "test_macro_recall"),
        chosen_val_accuracy=_figure(run, "chosen_val_accuracy"),
        outside_accuracy=_figure(run, "outside_accuracy"),
        test_mean_iou=_figure(run, "test_mean_iou"),
        layers=_count(run, "layers"),
        dense_layers=_count(run, "dense_layers"),
        parameters=_count(run, "parameters"),
        trainable_parameters=_count(run, "trainable_parameters"),
        epochs=_count(run, "epochs") if run.is_network else None,
        augmentation=describe_augmentation(params) if params else None,
        batch_normalization={"True": True, "False": False}.get(params.get("network.batch_normalization", "")),
        dropout=params.get("network.dropout"),
        optimizer=describe_optimizer(params),
        loss=run.params.get("network.loss"),
        fit_seconds=_figure(run, "fit_seconds"),
        predict_ms_per_image=_figure(run, "predict_ms_per_image"),
        diagnosis=run.diagnosis,
        comment=" ".join((run.comment or "").split()) or None,
        experiment=run.experiment,
        run_id=run.run_id,
        test_digest=run.test_digest,
    )


def _figure(run: LoggedRun, name: str) -> float | None:
    """A metric; None also where it is no number, which JSON cannot tell."""
    value = run.metrics.get(name, math.nan)
    return value if math.isfinite(value) else None


def _count(run: LoggedRun, name: str) -> int | None:
    value = _figure(run, name)
    return None if value is None else int(value)
