"""What a run shows before its training begins: the network in figures and as a drawing, augmented training images."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline_config.experiment import Model
from tasks import tracking
from tasks.input_pipeline import ImageSet
from tasks.train.augmentation_grid import draw_augmented
from tasks.train.description import describe_network
from tasks.train.heads import head_sizes
from tasks.train.layer_graph.drawing import draw_layers
from tasks.train.layer_graph.table import summarize_layers

_LOSSES = {"probabilities": "categorical cross-entropy", "box": "1 - generalized IoU"}


def log_looks(
    run_id: str, model: Model, network: Any, images: ImageSet, class_names: tuple[str, ...], cache: Path
) -> None:
    """Log `network.…` params, `layers.png`, `layers.csv` and `augmentation.png`; of a model that is no network nothing.

    Args:
        run_id: of the train run.
        model: its section.
        network: as it is frozen in the first stage.
        images: a few training images are shown augmented.
        class_names: in label order.
        cache: existing folder for the pictures on their way.
    """
    figures = describe_network(network)
    if figures is None:
        return
    shares = ", ".join(f"{share:g}" for share in figures.dropout)
    losses = " + ".join(_LOSSES[head] for head in head_sizes(network))
    looks = {"batch_normalization": figures.batch_normalization, "dropout": shares or "none", "loss": losses}
    tracking.log_params(run_id, {"network": looks})
    counted = {"layers": figures.layers, "dense_layers": figures.dense_layers}
    tracking.log_metrics(run_id, {**counted, "trainable_parameters": figures.trainable_parameters})
    with TemporaryDirectory(dir=cache) as folder:
        draw_layers(network, model.name, Path(folder) / "layers.png")
        summarize_layers(network).to_csv(Path(folder) / "layers.csv", index=False)
        if model.train.augmentation:
            augmented = Path(folder) / "augmentation.png"
            draw_augmented(images, model.train.augmentation, class_names, model.train.seed, augmented, model.name)
        tracking.log_files(run_id, Path(folder))
