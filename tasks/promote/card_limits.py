"""What a model card warns of: every sentence is computed, and holds for this model."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tasks import manifest as manifests
from tasks import predictions
from tasks.promote.card_facts import CardFacts
from tasks.promote.card_tables import class_rows, confusions

_SMALL = 30  # test images of a class, of which one is more than three hundredths of its recall
_NAMED = 3
_UNEVEN = 3  # times as many training images as of the smallest class


def tell_limits(facts: CardFacts) -> list[str]:
    """Sentences, each without a full stop at its end."""
    table, metrics = facts.predictions, facts.model.metrics
    told = [_test_size(table, metrics), _outside(metrics, facts.outside_images)]
    if predictions.has_classes(table):
        told += [_small_classes(table), *_confused(table), _calibration(table, metrics), _closed_set(table)]
    if predictions.has_boxes(table):
        told.append("it finds one box in every image, whether there is nothing in it or several things")
    if facts.manifest is not None:
        told += [_shown(facts.manifest), _uneven(table, facts.manifest)]
    else:
        told.append("which images it was trained on is not known any more: the manifest is gone")
    return [sentence for sentence in told if sentence]


def _test_size(table: pd.DataFrame, metrics: Mapping[str, float]) -> str:
    metric, name = ("test_accuracy", "accuracy") if predictions.has_classes(table) else ("test_mean_iou", "mean IoU")
    low, high = (metrics.get(f"{metric}{end}", np.nan) for end in ("_low", "_high"))
    if np.isnan([low, high]).any():
        return f"it was tested on {len(table):,} images alone; how much of its {name} is chance is not known"
    said = f"its {name} may be anything from {low:.1%} to {high:.1%} for reasons of chance"
    return f"tested on {len(table):,} images: {said}"


def _outside(metrics: Mapping[str, float], images: int | None) -> str:
    if "outside_accuracy" not in metrics:
        return (
            "it was never tried on images from elsewhere: how it does on other cameras, places and light is not known, "
            "and usually it is worse"
        )
    accuracy, low, high = (metrics[f"outside_accuracy{end}"] for end in ("", "_low", "_high"))
    on = f"{images:,} images" if images else "images"
    gap = metrics["outside_gap"]
    points = f"{abs(gap) * 100:.1f} points {'below' if gap > 0 else 'above'} that"
    than = f"{points if gap else 'as'} on the test images"
    return f"on {on} from elsewhere its accuracy is {accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}), {than}"


def _small_classes(table: pd.DataFrame) -> str:
    small = [row for row in class_rows(table, None) if row.test < _SMALL]
    if not small:
        return ""
    fewest = min(small, key=lambda row: row.test)
    return (
        f"{len(small):,} of {len(predictions.class_names(table)):,} classes have fewer than {_SMALL} test images "
        f"(the fewest {fewest.name}, {fewest.test:,}): their figures are rough"
    )


def _confused(table: pd.DataFrame) -> list[str]:
    """The pairs of classes that are confused most."""
    names, counts = predictions.class_names(table), confusions(table)
    totals = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    places = np.argsort(counts, axis=None, kind="stable")[::-1][:_NAMED]
    pairs = [divmod(int(place), len(names)) for place in places if counts.flat[place]]
    if not pairs:
        return ["no test image was given a wrong class, which says little where they are few or easy"]
    told = [f"{counts[pair]:,} of {totals[pair[0]]:,} {names[pair[0]]} as {names[pair[1]]}" for pair in pairs]
    return [f"most often confused: {', '.join(told)}"]


def _calibration(table: pd.DataFrame, metrics: Mapping[str, float]) -> str:
    confidence, accuracy = float(predictions.probabilities(table).max(axis=1).mean()), metrics.get("test_accuracy")
    if accuracy is None or not np.isfinite(confidence):
        return ""
    too = "more sure than right" if confidence > accuracy else "less sure than right"
    word = f"it is {too}" if abs(confidence - accuracy) >= 0.01 else "on average it is as sure as it is right"
    error = f"; expected calibration error {metrics['test_ece']:.3f}" if "test_ece" in metrics else ""
    return f"{word}: mean confidence {confidence:.1%}, accuracy {accuracy:.1%}{error}"


def _closed_set(table: pd.DataFrame) -> str:
    return (
        f"it knows {len(predictions.class_names(table)):,} classes and nothing else: an image of anything else is "
        "given one of them, often with a high confidence"
    )


def _shown(manifest: pd.DataFrame) -> str:
    """Which images it has met; others it never has."""
    rows = manifests.usable(manifest)
    learned = rows[rows["split"].isin(["train", "validation"])]
    if learned.empty:
        return ""
    shorter = learned[["width", "height"]].min(axis=1)
    least, most = int(shorter.min()), int(shorter.max())
    side = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    modes, formats = (", ".join(sorted(learned[column].dropna().unique())) for column in ("mode", "format"))
    kinds = "; ".join(filter(None, (modes and f"mode {modes}", formats)))
    return (
        f"it was trained and chosen on {len(learned):,} images of the source {_sources(learned)} alone, with a shorter "
        f"side of {side} pixels ({kinds}); it was never shown others"
    )


def _sources(rows: pd.DataFrame) -> str:
    return ", ".join(sorted(rows["source"].dropna().unique())) or "one source"


def _uneven(table: pd.DataFrame, manifest: pd.DataFrame) -> str:
    rows = [row for row in class_rows(table, manifest) if row.train]
    if len(rows) < 2:
        return ""
    fewest, most = (choose(rows, key=lambda row: row.train or 0) for choose in (min, max))
    if (most.train or 0) < _UNEVEN * (fewest.train or 0):
        return ""
    return f"it learned {fewest.name} from {fewest.train:,} images and {most.name} from {most.train:,}"
