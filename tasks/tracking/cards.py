"""Model cards: kept with the promotion's record, and from there put on the version and into its train run."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.tracking.store import client
from tasks.tracking.trained import fetch_file

DESCRIPTION_FILE = "description.md"
_FOLDER = "model_card"


def keep_card(run_id: str, folder: Path) -> None:
    """Every file of a card, `DESCRIPTION_FILE` among them, with the record of a promotion."""
    client().log_artifacts(run_id, str(folder), _FOLDER)


def publish_card(name: str, version: int, run_id: str) -> None:
    """The description on the version, the other files in its train run; may be done again. Older records have none."""
    kept = [file.path for file in client().list_artifacts(run_id, _FOLDER)]
    train_run_id = client().get_model_version(name, str(version)).run_id
    with TemporaryDirectory() as folder:
        for path in kept:
            file = fetch_file(run_id, path, Path(folder))
            if file.name == DESCRIPTION_FILE:
                client().update_model_version(name, str(version), description=file.read_text(encoding="utf-8"))
            else:
                client().log_artifact(train_run_id, str(file))
