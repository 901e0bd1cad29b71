"""Look an experiment over without data: build every model, describe it, estimate its memory and its time."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich import box, filesize
from rich.table import Table

from flows.start import load_checked, load_tensorflow
from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Experiment, Model
from tasks.ingest.found import Description
from tasks.ingest.listing import describe_dataset
from tasks.progress import console, say, track
from tasks.sweep.space import number_of_trials, trial_model
from tasks.train.forecast import Forecast, StageForecast, forecast
from tasks.train.layer_graph.table import LayerRow
from tasks.train.registry import cost_warning

_UNKNOWN = "unknown"


def check_experiment(experiment: str, overrides: list[str], *, show_layers: bool = False) -> dict[str, Any]:
    """Validate the file, build every model, show what each is and will take; nothing is downloaded.

    Args:
        experiment: name of a shipped one, or path of a file.
        overrides: `dotted.key=value`.
        show_layers: prints each network's layers as well.

    Returns:
        With `trials` of a sweep, and `models`, a dict each: the fields of `Network`, `memory_bytes` (of the stage that
        takes most), `epoch_seconds` (of the first stage), `fit_seconds` (of one fit, all stages), `stages` and
        `layer_table`; null for what is no network or not known; and `warning` where a fit will take very long.
        `fit_seconds` of the experiment counts the fits of `split.folds` too, and is null where that of a network is.

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
    shape, classes = (*size, 3), len(description.class_names)
    models = track(config.models, "building and timing models", len(config.models))
    compute = config.execution.compute
    told = [(model, forecast(model, shape, classes, description.num_images, compute)) for model in models]
    seconds = _all_fits(config, [found for _, found in told])
    _show(config, told, description, seconds)
    if show_layers:
        _show_layers(told)
    rows = [{**_answer(model, found), **_warning(config, model, shape, description)} for model, found in told]
    done = {"status": "done", "experiment": config.name, "classes": classes, **_trials(config)}
    return {**done, "models": rows, "fit_seconds": seconds}


def _trials(config: Experiment) -> dict[str, int]:
    """`trials`, where the experiment has a sweep."""
    if config.sweep is None:
        return {}
    trials = number_of_trials(config.sweep)
    epochs = trial_model(config, {}).train.all_epochs
    say(f"Before that a sweep of {config.sweep.model}: at most {trials} trials of at most {epochs} epochs")
    return {"trials": trials}


def _all_fits(config: Experiment, forecasts: Iterable[Forecast | None]) -> float | None:
    """Seconds of fitting every network, on every fold as well; a fit on a fold is counted as one on all images."""
    seconds = [found.fit_seconds for found in forecasts if found]
    return None if None in seconds else sum(filter(None, seconds)) * (1 + (config.split.folds or 0))


def _warning(config: Experiment, model: Model, shape: tuple[int, int, int], description: Description) -> dict[str, str]:
    """`warning`, where the model's fit will take very long or very much memory."""
    parts = (config.split.validation, config.split.test)
    images = int((description.num_images or 0) * (1 - sum(part for part in parts if isinstance(part, float))))
    warning = cost_warning(model, images, shape, len(description.class_names)) if images else None
    if warning is None:
        return {}
    say(f"Warning: {warning}")
    return {"warning": warning}


def _answer(model: Model, found: Forecast | None) -> dict[str, Any]:
    row: dict[str, Any] = {"name": model.name, "family": model.family}
    if found is None:
        return {**row, "parameters": None, "epoch_seconds": None}
    return {
        **row,
        **asdict(found.network),
        "memory_bytes": max(stage.memory_bytes for stage in found.stages),
        "epoch_seconds": found.stages[0].epoch_seconds,
        "fit_seconds": found.fit_seconds,
        "stages": [asdict(stage) for stage in found.stages],
        "layer_table": [asdict(row) for row in found.layers],
    }


def _show(
    config: Experiment, told: list[tuple[Model, Forecast | None]], description: Description, seconds: float | None
) -> None:
    table = _table(f"{config.name}: the file is right", ("model", "family"))
    for column in ("layers", "parameters", "trained", "memory", "an epoch", "fit"):
        table.add_column(column, justify="right", no_wrap=True)
    for model, found in told:
        for cells in _rows(model, found):
            table.add_row(*cells)
    console.print(table)
    images = f"{description.num_images:,} images" if description.num_images else "number of images not known yet"
    say(f"{len(description.class_names)} classes, {images}")
    say("layers: convolutions and dense layers; memory: estimate for a training step, beside TensorFlow's own")
    if seconds:
        folds = f"; {config.split.folds} folds and the final fit of each model" if config.split.folds else ""
        say(f"Fitting takes about {_duration(seconds)} here; early stopping may end it sooner{folds}")


def _rows(model: Model, found: Forecast | None) -> list[tuple[str, ...]]:
    """A row for the model, and below it one for each of its stages."""
    if found is None:
        return [(model.name, model.family, "", "by the fit", "", "", "no epochs", "")]
    network = (str(found.network.layers), f"{found.network.parameters:,}")
    if found.stages[0].trainable is None:
        return [(model.name, model.family, *network, *_cells(found.stages[0]))]
    first = (model.name, model.family, *network, "", "", "", _duration(found.fit_seconds))
    stages = [
        (f"  stage {number}", f"trains {stage.trainable}", "", "", *_cells(stage))
        for number, stage in enumerate(found.stages, 1)
    ]
    return [first, *stages]


def _cells(stage: StageForecast) -> tuple[str, str, str, str]:
    memory = filesize.decimal(stage.memory_bytes)
    return f"{stage.trainable_parameters:,}", memory, _duration(stage.epoch_seconds), _duration(stage.fit_seconds)


def _show_layers(told: Iterable[tuple[Model, Forecast | None]]) -> None:
    for model, found in told:
        if found is None:
            continue
        table = _table(f"{model.name}: layers", ("name", "kind", "output"))
        for column in ("parameters", "trained"):
            table.add_column(column, justify="right", no_wrap=True)
        for row in found.layers:
            table.add_row(row.name, row.kind, row.output, f"{row.parameters:,}", _trained(row))
        console.print(table)


def _trained(row: LayerRow) -> str:
    if 0 < row.trained_layers < row.layers:
        return f"{row.trained_layers} of {row.layers} layers"
    if not row.parameters:
        return ""
    return "yes" if row.trained_parameters else "frozen"


def _table(title: str, columns: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _duration(seconds: float | None) -> str:
    """`2.5 s`, `5.3 min`, `12 min`, `3 h 20 min`."""
    if seconds is None:
        return _UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 600:
        return f"{seconds / 60:.1f} min"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
