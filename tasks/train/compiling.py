"""Optimizer, losses and metrics of a network."""

from typing import Any

from pipeline_config.experiment import Train
from tasks.train.box_measures import giou_loss, mean_iou
from tasks.train.heads import head_sizes
from tasks.train.optimizers import make_optimizer

_OURS = {
    "probabilities_loss": "class_loss",
    "probabilities_accuracy": "accuracy",
    "box_mean_iou": "mean_iou",
}


def compile_model(model: Any, train: Train, *, jit: bool = False) -> None:
    """Give a Keras model its optimizer, loss and metrics.

    Args:
        model: outputs probabilities, or a dict of heads of which `box` is one; then `model.box_weight` is the weight of
            the box loss in the sum.
        train: settings of one stage.
        jit: compiled by XLA, which makes convolutions slower on a processor.
    """
    model.compile(
        optimizer=make_optimizer(train, jit=jit),
        **(_for_heads(model) if isinstance(model.output, dict) else _for_classes()),
        jit_compile=jit,
    )
    if isinstance(model.output, dict):
        # Saved with the model, our loss and metric would keep it from loading where this project is not installed.
        model.get_compile_config = lambda: None


def _for_classes() -> dict[str, Any]:
    return {"loss": "categorical_crossentropy", "metrics": ["accuracy"]}


def _for_heads(model: Any) -> dict[str, Any]:
    losses = {"probabilities": "categorical_crossentropy", "box": giou_loss}
    metrics = {"probabilities": ["accuracy"], "box": [mean_iou]}
    weights = {"probabilities": 1.0, "box": model.box_weight}
    parts = {"loss": losses, "metrics": metrics, "loss_weights": weights}
    return {name: {head: part[head] for head in head_sizes(model)} for name, part in parts.items()}


def named(logs: dict[str, Any]) -> dict[str, Any]:
    """Keras's names of losses and metrics -> ours, as `train_loss`, `val_class_loss` and `val_mean_iou`."""
    return {_name(key): value for key, value in logs.items()}


def _name(key: str) -> str:
    name = key.removeprefix("val_")
    return f"{'train' if name == key else 'val'}_{_OURS.get(name, name)}"
