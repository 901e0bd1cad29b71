"""What images show, by a model of the registry or of a run; nothing is logged, and no flow is needed."""

import sys
from collections.abc import Sequence
from typing import Any

from pipeline_config.errors import DataError
from tasks import tracking
from tasks.answers import Answer
from tasks.progress import console, say
from tasks.serve.predict import predict_files
from tasks.serve.tables import make_csv, make_table


class NothingUsable(DataError):
    """Not one of the files can be used; `answer` is what `--json` prints."""

    def __init__(self, rows: Sequence[Answer], answer: dict[str, Any]) -> None:
        files = "the file" if len(rows) == 1 else f"none of {len(rows):,} files"
        verb = "cannot" if len(rows) == 1 else "can"
        super().__init__(f"{files} {verb} be used: {rows[0]['path']}: {rows[0]['note']}")
        self.answer = {**answer, "status": "failed"}


def predict_paths(paths: Sequence[str], model: str | None, experiment: str | None, as_csv: bool) -> dict[str, Any]:
    """Predict every file that is named, and show it as a table, or as CSV on stdout.

    Args:
        paths: files, folders, globs.
        model, experiment: as of `tracking.find_model`.
        as_csv: no table for people.

    Raises:
        ConfigurationError: there is no such model, or there are several.
        NothingUsable: not one of the files can be used.
    """
    served = tracking.open_model(tracking.find_model(model, experiment))
    rows = predict_files(served.model, paths, served.class_names, served.image_size)
    if as_csv:
        sys.stdout.write(make_csv(rows, served.class_names))
        sys.stdout.flush()
    else:
        console.print(make_table(rows))
    usable = sum(row["confidence"] is not None or row["box"] is not None for row in rows)
    answer = {"status": "done", "model_uri": served.uri, "class_names": list(served.class_names), "predictions": rows}
    if not usable:
        raise NothingUsable(rows, answer)
    say(f"{usable:,} of {len(rows):,} files classified by {served.uri}")
    return answer
