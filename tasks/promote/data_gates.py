"""Whether a model's data were sound. Pure: what the pipeline logged about them in, gates out."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from tasks.manifest import usable
from tasks.records import Gate

_LEAKAGE = "leakage"


def data_gates(
    report: Mapping[str, Any], manifest: pd.DataFrame, tested: Collection[str], leaks_dropped: bool
) -> list[Gate]:
    """Whether the data passed their checks, and nothing that was tested on was trained on.

    Args:
        report: of the data's checks, as `validation_report.json` holds it.
        manifest: of `tasks/manifest.py`.
        tested: ids of the images in the predictions table.
        leaks_dropped: training images that leak were quarantined.
    """
    return [_validated(report), _no_leak(report, leaks_dropped), _disjoint(manifest, tested)]


def _validated(report: Mapping[str, Any]) -> Gate:
    failures = report["failures"]
    passed = "the data passed every critical check"
    return Gate("data_validated", not failures, "; ".join(failures) if failures else passed)


def _no_leak(report: Mapping[str, Any], leaks_dropped: bool) -> Gate:
    """A leak that the experiment file makes a mere warning keeps a model from becoming champion all the same."""
    result = next((result for result in report["expectations"] if result["name"] == _LEAKAGE), None)
    if result is None:
        return Gate("no_leak", True, "leaks were not looked for (validation.leakage is off)")
    return Gate("no_leak", result["passed"] or leaks_dropped, result["sentence"])


def _disjoint(manifest: pd.DataFrame, tested: Collection[str]) -> Gate:
    rows = usable(manifest)
    learned = set(rows.loc[rows["split"] != "test", "image_id"])
    shared = sorted(learned & set(tested))
    unknown = sorted(set(tested) - set(rows.loc[rows["split"] == "test", "image_id"]) - learned)
    if shared:
        sentence = f"{len(shared):,} of {len(tested):,} test images are training or validation images too: {shared[0]}"
    elif unknown:
        sentence = f"{len(unknown):,} of {len(tested):,} tested images are no test images of the manifest: {unknown[0]}"
    else:
        sentence = f"none of the {len(tested):,} test images is among the {len(learned):,} to learn and choose from"
    return Gate("test_rows_apart", not shared and not unknown, sentence)
