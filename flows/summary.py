"""What a pipeline run says at its end: a table for people, one JSON object for programs."""

from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table

from flows.pipeline import PipelineResult
from flows.prepare import Prepared, say_warnings
from tasks import manifest as manifests
from tasks.progress import console, say
from tasks.records import Decision


def show_result(result: PipelineResult) -> None:
    """The models with metric, interval, seconds and parameters; the decision; where to look."""
    title = f"{result.experiment}: test rows of data {result.data_digest[:12]}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    for column in ("test acc", "95 % interval", "val acc", "loss", "macro F1", "fit s", "parameters"):
        table.add_column(column, justify="right", no_wrap=True)
    for model in sorted(result.models, key=lambda model: -model.metrics["test_accuracy"]):
        table.add_row(f"{model.name}{' *' if model.run_id == result.best.run_id else ''}", *_cells(model.metrics))
    console.print(table)
    say("* best by validation, proposed to the registry")
    show_decision(result.decision)
    say("Look at it: darkroom ui")


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


def _cells(metrics: dict[str, float]) -> tuple[str, ...]:
    return (
        f"{metrics['test_accuracy']:.4f}",
        f"{metrics['test_accuracy_low']:.4f}..{metrics['test_accuracy_high']:.4f}",
        f"{metrics['chosen_val_accuracy']:.4f}",
        f"{metrics['test_loss']:.4f}",
        f"{metrics['test_macro_f1']:.4f}",
        f"{metrics['fit_seconds']:.1f}",
        f"{int(metrics['parameters']):,}",
    )


def as_json(result: PipelineResult, total_seconds: float) -> dict[str, Any]:
    """The result as plain values."""
    return {
        "status": "failed_models" if result.failures else "done",
        "experiment": result.experiment,
        "pipeline_run_id": result.pipeline_run_id,
        "data_digest": result.data_digest,
        "models": [
            {
                "name": model.name,
                "family": model.family,
                "run_id": model.run_id,
                "model_uri": model.model_uri,
                "metrics": model.metrics,
            }
            for model in result.models
        ],
        "failures": [{"name": failure.name, "reason": failure.reason} for failure in result.failures],
        "best": {"name": result.best.name, "family": result.best.family, "run_id": result.best.run_id},
        "promotion": asdict(result.decision),
        "seconds": {"total": total_seconds, **result.seconds},
        "tracking_uri": result.tracking_uri,
    }
