"""The train runs that are to be compared, read back from MLflow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline_config.errors import ConfigurationError
from pipeline_config.loading import shipped_experiments
from pipeline_config.sentences import did_you_mean
from pipeline_config.settings import Settings
from tasks.tracking.runs import FAILURE
from tasks.tracking.store import client, find_run

_MAX_NAMED = 3
_ABOVE_MODELS = ("pipeline", "training")  # kinds of runs that have train runs below them
_CURVES = ("val_accuracy", "val_loss")

History = Mapping[str, Mapping[int, float]]
"""Name of a metric -> epoch, from 1 -> value."""


@dataclass(frozen=True)
class LoggedRun:
    """What the train run of one evaluated model tells.

    Attributes:
        name: of the model.
        experiment: in which it was trained.
        test_digest: names the test rows that it was evaluated on.
        is_network: whether it was trained by an optimizer in epochs; a scikit-learn model was not.
        params: flat, as logged: `train.optimizer`.
        metrics: the last value of each.
        diagnosis: `overfitting` and the like, or None.
        comment: the run's description in MLflow, which is the diagnosis in a sentence unless someone changed it.
        history: curves of a network's `val_accuracy` and `val_loss`, where they were logged.
    """

    run_id: str
    name: str
    experiment: str
    test_digest: str
    is_network: bool
    params: dict[str, str]
    metrics: dict[str, float]
    diagnosis: str | None
    comment: str | None
    history: History = field(default_factory=dict)


def read_runs(run_ids: Iterable[str]) -> list[LoggedRun]:
    """The train runs of evaluated models.

    Raises:
        ConfigurationError: one of them is not there, or was not evaluated.
    """
    return [_read(_evaluated(find_run(run_id))) for run_id in run_ids]


def find_runs(targets: Sequence[str]) -> tuple[list[LoggedRun], list[str]]:
    """The evaluated train runs that the targets name, each once, and a sentence for each that was left out.

    Args:
        targets: names of experiments, which stand for their latest finished pipeline run; ids of pipeline runs and of
            those of a training alone, which stand for all their train runs; ids of train runs.

    Raises:
        ConfigurationError: a target names nothing, or nothing that was evaluated.
    """
    found: dict[str, LoggedRun] = {}
    left_out = []
    for target in targets:
        run = _run_of(target)
        if run.data.tags.get("darkroom.kind") not in _ABOVE_MODELS:
            found[run.info.run_id] = _read(_evaluated(run))
            continue
        models = _search(run.info.experiment_id, "train", f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
        evaluated = [model for model in models if _is_evaluated(model)]
        if not evaluated:
            raise ConfigurationError(f"{_told(run)} has no model that was evaluated; {_run_it(run)}")
        found.update({model.info.run_id: _read(model) for model in evaluated})
        left_out += [f"left out, as it was not evaluated: {_told(model)}" for model in models if model not in evaluated]
    return list(found.values()), left_out


def _run_of(target: str) -> Any:
    """The run of that id, or the latest finished pipeline run of the experiment of that name."""
    experiment = client().get_experiment_by_name(target)
    if experiment is None:
        try:
            return find_run(target)
        except ConfigurationError:
            raise ConfigurationError(_unknown(target)) from None
    finished = _search(experiment.experiment_id, "pipeline", "attributes.status = 'FINISHED'", most=1)
    if finished:
        return finished[0]
    others = ", ".join(_told(run) for run in _search(experiment.experiment_id, "pipeline", most=_MAX_NAMED))
    raise ConfigurationError(
        f"experiment '{target}': expected a pipeline run that is FINISHED; received {others or 'none'}; "
        f"{_how_to_run(target)}{', or name a run by its id' if others else ''}"
    )


def _search(experiment_id: str, kind: str, also: str = "", most: int = 1_000) -> list[Any]:
    """Runs of that kind, the latest first."""
    condition = f"tags.`darkroom.kind` = '{kind}'" + (f" and {also}" if also else "")
    order = ["attributes.start_time DESC"]
    return list(client().search_runs([experiment_id], condition, order_by=order, max_results=most))


def _is_evaluated(run: Any) -> bool:
    tags = run.data.tags
    is_train_run = tags.get("darkroom.kind") == "train"
    measured = {"test_accuracy", "test_mean_iou"} & run.data.metrics.keys()
    return is_train_run and bool(measured) and "darkroom.test_digest" in tags


def _evaluated(run: Any) -> Any:
    if _is_evaluated(run):
        return run
    raise ConfigurationError(
        f"expected a pipeline run, or a train run that was evaluated; received {_told(run)}; "
        f"{_run_it(run)}, or name another run"
    )


def _told(run: Any) -> str:
    """`train run 0123… (cnn) that is FAILED: out of memory`."""
    tags = run.data.tags
    because = f": {tags[FAILURE]}" if FAILURE in tags else ""
    kind = tags.get("darkroom.kind", "foreign")
    return f"{kind} run {run.info.run_id} ({run.info.run_name}) that is {run.info.status}{because}"


def _run_it(run: Any) -> str:
    return f"run the experiment again with `darkroom run {run.data.tags.get('darkroom.experiment', 'EXPERIMENT')}`"


def _how_to_run(experiment: str) -> str:
    return f"run it with `darkroom run {experiment}`"


def _unknown(target: str) -> str:
    """That the store has nothing of that name, what it has, and what was probably meant."""
    names = sorted(found.name for found in client().search_experiments() if found.experiment_id != "0")
    where = Settings().tracking_uri
    if target in shipped_experiments():
        return f"experiment '{target}' has no run in {where} yet; {_how_to_run(target)}"
    known = f"experiments there: {', '.join(names) or 'none yet'}{did_you_mean(target, names)}"
    return f"no experiment and no run '{target}' in {where}; {known}; `darkroom ui` shows the runs"


def _read(run: Any) -> LoggedRun:
    tags, is_network = run.data.tags, _is_network(run)
    return LoggedRun(
        run_id=run.info.run_id,
        name=run.info.run_name,
        experiment=tags.get("darkroom.experiment", ""),
        test_digest=tags["darkroom.test_digest"],
        is_network=is_network,
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        diagnosis=tags.get("darkroom.diagnosis"),
        comment=tags.get("mlflow.note.content"),
        history=_read_history(run) if is_network else {},
    )


def _read_history(run: Any) -> History:
    return {name: _read_curve(run.info.run_id, name) for name in _CURVES if name in run.data.metrics}


def _read_curve(run_id: str, name: str) -> dict[int, float]:
    """Epoch -> value, in order; of an epoch that was logged again the later value."""
    points = sorted(client().get_metric_history(run_id, name), key=lambda point: (point.step, point.timestamp))
    return {point.step: point.value for point in points}


def _is_network(run: Any) -> bool:
    """Told by the model in the run: the params of `train` are logged for every family, whether it heeds them or not."""
    models = run.outputs.model_outputs if run.outputs else []
    return not models or client().get_logged_model(models[0].model_id).model_type != "sklearn"
