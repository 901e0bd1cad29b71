"""The champion, evaluated again on the test rows of another model, so that the two can be compared."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from pipeline_config.errors import DarkroomError
from pipeline_config.settings import Settings
from tasks import manifest as manifests
from tasks import predictions, tracking
from tasks.input_pipeline import open_image_set
from tasks.prediction import predict_split
from tasks.reasons import reason
from tasks.recheck import check_test_images, keep_test_rows
from tasks.records import Manifest
from tasks.tracking import Champion, ServedModel

LEAST_ROWS = 6
"""Of fewer rows no test could find the challenger worse: with five unlike rows of five McNemar's p is 0.0625."""


def evaluate_again(champion: Champion, manifest: Manifest | str) -> pd.DataFrame:
    """Predictions of the champion for the test rows of a manifest, with the manifest's classes in their order.

    Args:
        champion: loaded without running code that it might carry; it is given images of its own size.
        manifest: of the challenger's data, or why there is none, in a sentence.

    Raises:
        DarkroomError: the images are gone or have changed; the model cannot be loaded; its classes are others.
    """
    if isinstance(manifest, str):
        raise DarkroomError(manifest)
    served = tracking.open_model(champion.model_uri)
    _check_classes(served, manifest)
    check_test_images(manifest)
    table = _predict(served, manifest)
    return predictions.in_class_order(table, manifest.class_names)


def _check_classes(served: ServedModel, manifest: Manifest) -> None:
    theirs, ours = set(served.class_names), set(manifest.class_names)
    if theirs == ours:
        return
    unlike = "; ".join(
        f"only {whose} knows {', '.join(sorted(names))}"
        for whose, names in (("the champion", theirs - ours), ("the challenger", ours - theirs))
        if names
    )
    raise DarkroomError(f"expected the same classes of both; {unlike}")


def _predict(served: ServedModel, manifest: Manifest) -> pd.DataFrame:
    with TemporaryDirectory(dir=Settings().cache) as temporary:
        tested = keep_test_rows(manifest, Path(temporary))
        return _ask(served, replace(tested, image_size=served.image_size))


def _ask(served: ServedModel, tested: Manifest) -> pd.DataFrame:
    try:
        return predict_split(served.model, open_image_set(tested, Settings().cache), "test", served.class_names)
    except Exception as error:  # TensorFlow, Keras and scikit-learn, each with errors of its own
        raise DarkroomError(f"{served.uri} cannot answer for them: {reason(error)}") from error


def find_learned(champion: Champion) -> set[str] | None:
    """Ids of the images that the champion was trained or chosen on; None where its manifest is gone."""
    try:
        pipeline_run_id, _ = tracking.find_configuration(champion.run_id)
        with TemporaryDirectory(dir=Settings().cache) as folder:
            path, _ = tracking.fetch_manifest(pipeline_run_id, Path(folder))
            rows = manifests.usable(manifests.read(path))
    except DarkroomError:
        return None
    return set(rows.loc[rows["split"] != "test", "image_id"])


def leave_out(table: pd.DataFrame, learned: set[str] | None) -> tuple[pd.DataFrame, str]:
    """The rows that the champion has not learned from, and a sentence about the others.

    On rows that it was trained on it would be flattered, and no challenger could take its place.

    Raises:
        DarkroomError: fewer than `LEAST_ROWS` are left.
    """
    if learned is None:
        return table, "which of them it learned from is not known, as its manifest is gone"
    kept = table[~table["image_id"].isin(learned)].reset_index(drop=True)
    count = len(table) - len(kept)
    if len(kept) < LEAST_ROWS:
        raise DarkroomError(
            f"it was trained or chosen on {count:,} of these {len(table):,} test rows; expected at least {LEAST_ROWS} "
            f"others to compare on; received {len(kept):,}"
        )
    if not count:
        return kept, "it learned from none of them"
    return kept, f"{count:,} of {len(table):,} are left out, as it learned from them, and would be flattered"
