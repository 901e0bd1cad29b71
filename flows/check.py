"""Look an experiment over without data: build every model, count its parameters, estimate its time."""

import time
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from flows.start import load_checked, load_tensorflow
from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Model
from tasks.ingest.found import Description
from tasks.ingest.listing import describe_dataset
from tasks.progress import console, say
from tasks.train.registry import build_model, count_parameters

_TIMED_STEPS = 3


def check_experiment(experiment: str, overrides: list[str]) -> dict[str, Any]:
    """Validate the file, build every model, show parameters and the measured time of an epoch; nothing is downloaded.

    Raises:
        ConfigurationError: anything in the file is wrong, or the images' size is neither given nor known.
        DataError: a folder that the file names is missing.
    """
    config = load_checked(experiment, overrides)
    load_tensorflow()
    description = describe_dataset(config.dataset)
    size = config.dataset.image_size or description.image_size
    if size is None:
        raise ConfigurationError("dataset.image_size: the images' size is not known; give one, as 128")
    rows = [_check_model(model, size, description) for model in config.models]
    _show(config.name, rows, description)
    return {"status": "done", "experiment": config.name, "classes": len(description.class_names), "models": rows}


def _check_model(model: Model, size: tuple[int, int], description: Description) -> dict[str, Any]:
    network = build_model(model, (*size, 3), len(description.class_names), download=False)
    row: dict[str, Any] = {"name": model.name, "family": model.family, "parameters": None, "epoch_seconds": None}
    if hasattr(network, "count_params"):
        row["parameters"] = count_parameters(network)
        row["epoch_seconds"] = _epoch_seconds(network, model, size, description.num_images)
    return row


def _epoch_seconds(network: Any, model: Model, size: tuple[int, int], num_images: int | None) -> float | None:
    """Seconds an epoch over all images would take, from the median of a few training steps on random pixels."""
    from tasks.train.fit import compile_model

    if num_images is None:
        return None
    compile_model(network, model.train, steps=1)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (model.train.batch_size, *size, 3), dtype=np.uint8)
    labels = np.zeros(model.train.batch_size, dtype=np.int64)
    network.train_on_batch(pixels, labels)  # traces the graph
    seconds = []
    for _ in range(_TIMED_STEPS):
        started = time.perf_counter()
        network.train_on_batch(pixels, labels)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)) * num_images / model.train.batch_size


def _show(name: str, rows: list[dict[str, Any]], description: Description) -> None:
    table = Table(title=f"{name}: the file is right", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model")
    table.add_column("family")
    table.add_column("parameters", justify="right")
    table.add_column("estimated s an epoch", justify="right")
    for row in rows:
        parameters = f"{row['parameters']:,}" if row["parameters"] else "depends on the fit"
        epoch = f"{row['epoch_seconds']:.1f}" if row["epoch_seconds"] else "no epochs"
        table.add_row(row["name"], row["family"], parameters, epoch)
    console.print(table)
    images = f"{description.num_images:,}" if description.num_images else "number of images not known yet"
    say(f"{len(description.class_names)} classes, {images} images" if description.num_images else images)
