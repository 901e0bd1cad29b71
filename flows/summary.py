"""What a pipeline run says at its end: a table for people, one JSON object for programs."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from flows.pipeline import PipelineResult
from flows.prepare import Prepared, say_warnings
from flows.sweep import Swept
from flows.training import TrainingResult
from tasks import manifest as manifests
from tasks.progress import console, say
from tasks.records import Decision, EvaluatedModel, TrainedModel
from tasks.sweep.table import (
    EPOCHS,
    FIT_SECONDS,
    INTERVAL,
    PARAMETERS,
    RANK,
    STATE,
    TRIAL,
    make_rows,
    setting_columns,
    value_column,
)

_MOST_TRIALS = 20

_Figure = tuple[str, tuple[str, ...], str]

# Heading, metrics, how they are written.
_FIGURES: tuple[_Figure, ...] = (
    ("test acc", ("test_accuracy",), "{:.4f}"),
    ("95 % interval", ("test_accuracy_low", "test_accuracy_high"), "{:.4f}..{:.4f}"),
    ("outside acc", ("outside_accuracy",), "{:.4f}"),
    ("mean IoU", ("test_mean_iou",), "{:.4f}"),
    ("95 % interval", ("test_mean_iou_low", "test_mean_iou_high"), "{:.4f}..{:.4f}"),
    ("val acc", ("chosen_val_accuracy",), "{:.4f}"),
    ("val IoU", ("chosen_val_mean_iou",), "{:.4f}"),
    ("loss", ("test_loss",), "{:.4f}"),
    ("macro F1", ("test_macro_f1",), "{:.4f}"),
    ("fit s", ("fit_seconds",), "{:.1f}"),
    ("parameters", ("parameters",), "{:,.0f}"),
)


def show_result(result: PipelineResult) -> None:
    """Trials of a sweep; the models with metric, interval, seconds, parameters; the decision; where to look."""
    if result.swept:
        _show_trials(result.swept)
    title = f"{result.experiment}: test rows of data {result.data_digest[:12]}"
    ordered = sorted(result.models, key=lambda model: -_headline(model.metrics))
    marks = [" *" if model.run_id == result.best.run_id else "" for model in ordered]
    _show_models(title, {f"{model.name}{mark}": model.metrics for model, mark in zip(ordered, marks, strict=True)})
    say("* best by validation, or the cheapest of those tied with it; proposed to the registry")
    show_decision(result.decision)
    say("Look at it: darkroom ui")


def show_training(result: TrainingResult) -> None:
    """Trials of a sweep; the models with what validation told; how to go on."""
    if result.swept:
        _show_trials(result.swept)
    title = f"{result.experiment}: validation rows of data {result.data_digest[:12]}"
    _show_models(title, {model.name: model.metrics for model in result.models})
    for model in result.models:
        say(f"To evaluate {model.name} on the test rows: darkroom evaluate {model.run_id}")
    say("Look at it: darkroom ui")


def _show_trials(swept: Swept) -> None:
    """The best trials first, and what they tell."""
    settings = setting_columns(swept.trials)
    columns = [RANK, TRIAL, STATE, *settings, value_column(swept.metric), INTERVAL, EPOCHS, FIT_SECONDS, PARAMETERS]
    table = Table(title=f"sweep of {swept.model.name}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.heading, justify="right" if column.is_number else "left", no_wrap=True)
    for row in make_rows(swept.trials, swept.metric)[:_MOST_TRIALS]:
        table.add_row(*(Text(column.cell(row)) for column in columns))
    console.print(table)
    if len(swept.trials) > _MOST_TRIALS:
        say(f"and {len(swept.trials) - _MOST_TRIALS} more trials: sweep/ of run {swept.run_id}")
    say(swept.verdict.sentence)


def show_evaluated(model: EvaluatedModel) -> None:
    """One model that was evaluated later than it was trained; where to look."""
    _show_models(f"run {model.run_id}: test rows {model.test_digest[:12]}", {model.name: model.metrics})
    say("Look at it: darkroom ui")


def _headline(metrics: dict[str, float]) -> float:
    """By which the rows are sorted: the accuracy, or of boxes alone their mean IoU."""
    return metrics["test_accuracy"] if "test_accuracy" in metrics else metrics["test_mean_iou"]


def _show_models(title: str, models: dict[str, dict[str, float]]) -> None:
    """One row a model, one column a figure that any of them has."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    shown = [figure for figure in _FIGURES if any(_has(metrics, figure) for metrics in models.values())]
    if any("test_mean_iou" in metrics for metrics in models.values()):  # else the table is wider than a terminal
        shown = [figure for figure in shown if figure[0] not in {"loss", "macro F1"}]
    for heading, _, _ in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, metrics in models.items():
        table.add_row(name, *(_cell(metrics, figure) for figure in shown))
    console.print(table)


def show_decision(decision: Decision) -> None:
    """The registry's decision and every gate's verdict."""
    version = f" (version {decision.version})" if decision.version else ""
    say(f"Decision: {decision.decision}{version}: {decision.detail}")
    for gate in decision.gates:
        say(f"  {'passed' if gate.passed else 'failed'}  {gate.name}: {gate.detail}")


def show_prepared(prepared: Prepared) -> None:
    """Images of each split, what was found, where the report is."""
    table = manifests.read(prepared.manifest.path)
    counts = manifests.usable(table)["split"].value_counts()
    shown = ", ".join(f"{counts.get(split, 0):,} {split}" for split in manifests.SPLITS)
    quarantined = int((table["status"] != "ok").sum())
    say(f"{len(prepared.manifest.class_names)} classes, {len(table):,} images: {shown}, {quarantined} quarantined")
    say_warnings(prepared.report)
    say(f"Look at it: {prepared.report.folder / 'validation_report.html'}")


def _has(metrics: dict[str, float], figure: _Figure) -> bool:
    return all(name in metrics for name in figure[1])


def _cell(metrics: dict[str, float], figure: _Figure) -> str:
    _, names, form = figure
    return form.format(*(metrics[name] for name in names)) if _has(metrics, figure) else ""


def as_json(result: PipelineResult, total_seconds: float) -> dict[str, Any]:
    """The result as plain values."""
    return {
        **_describe_models(result, total_seconds),
        "pipeline_run_id": result.pipeline_run_id,
        "best": {"name": result.best.name, "family": result.best.family, "run_id": result.best.run_id},
        "promotion": asdict(result.decision),
    }


def training_as_json(result: TrainingResult, total_seconds: float) -> dict[str, Any]:
    """The result as plain values."""
    return {**_describe_models(result, total_seconds), "run_id": result.run_id}


def _describe_models(result: PipelineResult | TrainingResult, total_seconds: float) -> dict[str, Any]:
    """What a pipeline and a training alone have in common."""
    return {
        "status": "failed_models" if result.failures else "done",
        "experiment": result.experiment,
        "data_digest": result.data_digest,
        "models": [describe_model(model) for model in result.models],
        "failures": [{"name": failure.name, "reason": failure.reason} for failure in result.failures],
        **({"sweep": _describe_sweep(result.swept)} if result.swept else {}),
        "seconds": {"total": total_seconds, **result.seconds},
        "tracking_uri": result.tracking_uri,
    }


def _describe_sweep(swept: Swept) -> dict[str, Any]:
    states = [trial.state for trial in swept.trials]
    return {
        "study": swept.study,
        "run_id": swept.run_id,
        "counts": {state: states.count(state) for state in ("complete", "pruned", "failed")},
        "trials": [_without_nan(asdict(trial)) for trial in swept.trials],
        "best": swept.verdict.best.number,
        "tied": [trial.number for trial in swept.verdict.tied],
        "recommended": swept.verdict.trial.number,
    }


def describe_model(model: EvaluatedModel | TrainedModel) -> dict[str, Any]:
    """One model as plain values; null for what is not known, as an interval of a single row."""
    return {
        "name": model.name,
        "family": model.family,
        "run_id": model.run_id,
        "model_uri": model.model_uri,
        "metrics": _without_nan(model.metrics),
    }


def _without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no such numbers: null takes their place, also in the mappings below."""
    return {key: _without_nan(value) if isinstance(value, dict) else _or_null(value) for key, value in values.items()}


def _or_null(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
