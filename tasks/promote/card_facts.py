"""What a model card tells of, gathered from what the pipeline logged; what is gone is None, and the card says so."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Experiment
from pipeline_config.settings import Settings
from tasks import manifest as manifests
from tasks import predictions, tracking
from tasks.records import Decision, EvaluatedModel
from tasks.tracking import RunTags


@dataclass(frozen=True)
class CardFacts:
    """A registered version, what was decided about it, and where it comes from.

    Attributes:
        version: of the registered model, whose name is that of `tags.experiment`.
        predictions: table of the test rows.
        experiment: configuration of the pipeline, or None where it is gone.
        manifest: table of the data, or None where it is gone.
        licence: of the data, as their source states it, or None.
        outside_images: on which the model was tried, or None where on none.
        day: of the decision, as 2026-01-31.
    """

    version: int
    model: EvaluatedModel
    decision: Decision
    tags: RunTags
    predictions: pd.DataFrame
    experiment: Experiment | None
    manifest: pd.DataFrame | None
    licence: str | None
    outside_images: int | None
    day: str


def gather_facts(version: int, model: EvaluatedModel, decision: Decision, tags: RunTags) -> CardFacts:
    """The facts of one version."""
    with TemporaryDirectory(dir=Settings().cache) as temporary:
        experiment, manifest, licence = _fetch_data(model.run_id, Path(temporary))
        outside = _count_outside(model, Path(temporary))
    return CardFacts(
        version=version,
        model=model,
        decision=decision,
        tags=tags,
        predictions=predictions.read(model.predictions),
        experiment=experiment,
        manifest=manifest,
        licence=licence,
        outside_images=outside,
        day=datetime.now(UTC).date().isoformat(),
    )


def _fetch_data(run_id: str, folder: Path) -> tuple[Experiment | None, pd.DataFrame | None, str | None]:
    try:
        pipeline_run_id, experiment = tracking.find_configuration(run_id)
    except DarkroomError:
        return None, None, None
    try:
        path, _ = tracking.fetch_manifest(pipeline_run_id, folder)
        about = tracking.fetch_file(pipeline_run_id, "data/about.json", folder).read_text(encoding="utf-8")
    except DarkroomError:
        return experiment, None, None
    return experiment, manifests.read(path), json.loads(about).get("licence")


def _count_outside(model: EvaluatedModel, folder: Path) -> int | None:
    if "outside_accuracy" not in model.metrics:
        return None
    try:
        return len(
            predictions.read(tracking.fetch_file(model.run_id, "evaluation/outside_predictions.parquet", folder))
        )
    except DarkroomError:
        return None
