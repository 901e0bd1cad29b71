"""Small frozen records that stages hand to each other: ids, digests, paths; never arrays or models."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Listing:
    """What a source found, before any image was opened.

    Attributes:
        path: Parquet table with `source`, `path` or `index`, `label`, `class_name`, `split` (as given, or null).
        class_names: in label order.
        root: folder that the table's `path` column starts from, or None.
        store: Arrow file of encoded images that the `index` column counts in, or None.
        licence: as the source states it, or None.
        citation: as the source states it, or None.
        notes: sentences about what the source left out, for the report.
    """

    path: Path
    class_names: tuple[str, ...]
    root: Path | None
    store: Path | None
    licence: str | None = None
    citation: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """A data set: the table of `tasks/manifest.py` and where its pixels are.

    Attributes:
        path: Parquet table, one row an image, quarantined ones included.
        digest: names the data set's version: 64 hex digits over ids, labels, splits, boxes, status.
        test_digest: the same over the usable test rows alone; models compare only where it is equal.
        image_size: height and width given to the models.
        class_names, root, store: as in `Listing`.
    """

    path: Path
    digest: str
    test_digest: str
    class_names: tuple[str, ...]
    image_size: tuple[int, int]
    root: Path | None
    store: Path | None


@dataclass(frozen=True)
class Checks:
    """What the checks of a data set found, before it was split.

    Attributes:
        folder: holds `findings.parquet`, `pairs.parquet` and `results.json`.
        failures: sentences of what failed at severity critical; empty when the data may be split.
    """

    folder: Path
    failures: tuple[str, ...]


@dataclass(frozen=True)
class ValidationReport:
    """Outcome of the checks over a manifest.

    Attributes:
        folder: holds `validation_report.html`, `.md` and `.json`.
        failures: sentences of what failed at severity critical; empty when the data may be used.
        warnings: sentences of what failed at severity warning.
        precision: what differences between models the test images can tell, in a sentence; empty where not checked.
    """

    folder: Path
    failures: tuple[str, ...]
    warnings: tuple[str, ...]
    precision: str = ""


@dataclass(frozen=True)
class TrainedModel:
    """A model in MLflow that has not met the test rows.

    Attributes:
        metrics: `chosen_val_accuracy`, `fit_seconds` and the like; names of `pipeline_config/metric_names.py`.
    """

    name: str
    family: str
    run_id: str
    model_id: str
    model_uri: str
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Elsewhere:
    """Images that are no part of the data set.

    Attributes:
        outside: a manifest of those whose classes are known, or None.
        unlabelled: folder of those whose classes are not, or None.
    """

    outside: Manifest | None = None
    unlabelled: Path | None = None


@dataclass(frozen=True)
class EvaluatedModel:
    """A trained model with its predictions on the test rows.

    Attributes:
        predictions: Parquet table `image_id, label, probability of each class`.
        test_digest: digest of the test rows it was evaluated on.
        metrics: those of training and the `test_…` ones.
    """

    name: str
    family: str
    run_id: str
    model_id: str
    model_uri: str
    predictions: Path
    test_digest: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class Gate:
    """One condition of promotion and its verdict, told in a sentence."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Approval:
    """What a person said who was asked, or that nobody was there; the sentence tells who, and why."""

    approved: bool
    detail: str


@dataclass(frozen=True)
class Decision:
    """What the registry decided.

    Attributes:
        decision: `promoted` (the challenger became champion), `kept` (the champion stays, nothing is wrong),
            `refused` (a threshold, a comparison or a person said no), `waiting` (for a person's yes),
            `dry_run` (the gates were judged, nothing moved), `disabled`,
            `rolled_back` (the version before the champion is champion again) or
            `found` (the aliases were found moved).
        version: of the registered challenger; None when nothing new was registered.
    """

    decision: str
    version: int | None
    gates: tuple[Gate, ...]
    detail: str


@dataclass(frozen=True)
class Changed:
    """What is not as it was at the last finished pipeline run.

    Attributes:
        sentences: one for each thing that changed, at least one.
        folder: with a report on it, as a page in Markdown and a picture; or None.
    """

    sentences: tuple[str, ...]
    folder: Path | None = None

    def __str__(self) -> str:
        """In one line."""
        return "; ".join(self.sentences)


@dataclass(frozen=True)
class Trial:
    """What became of one trial of a sweep.

    Attributes:
        number: from 0, in the order in which the trials were chosen.
        state: `complete`, `pruned` (ended early, since others were better) or `failed`.
        params: what was varied: dotted key below the model -> value.
        run_id: of its run in MLflow.
        value: the sweep's metric on the validation images, of the weights that were kept; of a pruned trial its last
            epoch's; None of a failed one.
        low, high: 95 % interval of `value`; None unless complete.
        epochs: that were trained.
        metrics: as of a trained model: `chosen_val_accuracy`, `chosen_val_loss`, `fit_seconds`, `parameters` and the
            like; of a pruned or failed trial what is known.
        reason: why it failed, in a sentence; empty otherwise.
    """

    number: int
    state: str
    params: dict[str, Any]
    run_id: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    epochs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str = ""
