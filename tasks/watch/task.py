"""Watch as a Prefect task."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from prefect import task
from prefect.artifacts import create_markdown_artifact

from pipeline_config.settings import Settings
from tasks import manifest as manifests
from tasks import predictions, tracking
from tasks.files import write_whole
from tasks.input_pipeline import ImageSet, open_image_set
from tasks.progress import say
from tasks.reasons import reason
from tasks.records import Changed, Manifest
from tasks.watch.differences import Differences, compare_manifests, tell_differences
from tasks.watch.drift import Drift, Values, find_drifts
from tasks.watch.markdown import as_markdown
from tasks.watch.old_and_new import confidences, from_manifests, from_pixels
from tasks.watch.picture import draw_changes


@task(name="watch")
def watch_data(before: Path, manifest: Manifest, experiment: str) -> Changed:
    """What changed in a data set since a pipeline ran: in sentences, as a page and as a picture.

    Args:
        before: the manifest that the earlier pipeline logged.
        manifest: of now; unsplit where the data failed their checks.
        experiment: name of it, whose champion is asked how sure it is of the new images.
    """
    earlier = manifests.read(before)
    found = compare_manifests(earlier, manifests.read(manifest.path))
    drifts = _find_drifts(manifests.usable(earlier), found, manifest, experiment)
    sentences = (*tell_differences(found), *(drift.sentence for drift in drifts if drift.differs))
    title = f"What changed in the data of {experiment}"
    folder = Settings().cache / "changes" / f"{before.parent.name[:32]}-{manifest.digest[:16]}"
    page = as_markdown(title, sentences, found.balance, drifts)
    with write_whole(folder / "changes.md") as temporary:
        temporary.write_text(page, encoding="utf-8")
    draw_changes(found.balance, drifts, folder / "changes.png", title)
    create_markdown_artifact(page, key="data-changes")
    return Changed(sentences, folder)


def _find_drifts(earlier: pd.DataFrame, found: Differences, manifest: Manifest, experiment: str) -> Sequence[Drift]:
    if found.added.empty:
        return ()
    statistics = from_manifests(earlier, found)
    if manifest.test_digest:  # it was split
        images = open_image_set(manifest, Settings().cache)
        statistics |= from_pixels(images, found)
        statistics |= _champions_confidence(experiment, images, manifest, found)
    return find_drifts(statistics)


def _champions_confidence(
    experiment: str, images: ImageSet, manifest: Manifest, found: Differences
) -> dict[str, tuple[Values, Values]]:
    """Empty where there is no champion, or it cannot be asked, which is no reason not to train."""
    champion = tracking.champion(experiment)
    if champion is None:
        return {}
    try:
        model = tracking.open_model(champion.model_uri)
        with TemporaryDirectory(dir=Settings().cache) as folder:
            tested = predictions.read(tracking.download_predictions(champion.run_id, Path(folder)))
        if not predictions.has_classes(tested) or model.image_size != manifest.image_size:
            return {}
        return {"champion's confidence": confidences(model, tested, images, found)}
    except Exception as error:
        say(f"warning: the champion was not asked about the new images: {reason(error)}")
        return {}
