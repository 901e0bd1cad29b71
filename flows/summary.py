"""What a pipeline run says at its end: a table for people, one JSON object for programs."""

import math
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table

from flows.pipeline import PipelineResult
from flows.prepare import Prepared, say_warnings
from tasks import manifest as manifests
from tasks.progress import console, say
from tasks.records import Decision, EvaluatedModel

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
    """The models with metric, interval, seconds and parameters; the decision; where to look."""
    title = f"{result.experiment}: test rows of data {result.data_digest[:12]}"
    ordered = sorted(result.models, key=lambda model: -_headline(model.metrics))
    marks = [" *" if model.run_id == result.best.run_id else "" for model in ordered]
    _show_models(title, {f"{model.name}{mark}": model.metrics for model, mark in zip(ordered, marks, strict=True)})
    say("* best by validation, proposed to the registry")
    show_decision(result.decision)
    say("Look at it: darkroom ui")


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
        "status": "failed_models" if result.failures else "done",
        "experiment": result.experiment,
        "pipeline_run_id": result.pipeline_run_id,
        "data_digest": result.data_digest,
        "models": [describe_model(model) for model in result.models],
        "failures": [{"name": failure.name, "reason": failure.reason} for failure in result.failures],
        "best": {"name": result.best.name, "family": result.best.family, "run_id": result.best.run_id},
        "promotion": asdict(result.decision),
        "seconds": {"total": total_seconds, **result.seconds},
        "tracking_uri": result.tracking_uri,
    }


def describe_model(model: EvaluatedModel) -> dict[str, Any]:
    """One model as plain values; null for what is not known, as an interval of a single row."""
    return {
        "name": model.name,
        "family": model.family,
        "run_id": model.run_id,
        "model_uri": model.model_uri,
        "metrics": {name: value if math.isfinite(value) else None for name, value in model.metrics.items()},
    }
