"""A model of the registry or of a run, in a form that other programs run; nothing is logged, and no flow is needed."""

import re
from pathlib import Path
from typing import Any

from pipeline_config.settings import Settings
from tasks import tracking
from tasks.progress import console, say
from tasks.serve.export import export_model


def export(form: str, model: str | None, experiment: str | None, output: Path | None) -> dict[str, Any]:
    """Convert a model, compare its answers with those of the Keras model, and write it.

    Args:
        form: saved_model, onnx or litert.
        model, experiment: as of `tracking.find_model`.
        output: new folder; None for one in the home that is named after the model.

    Raises:
        ConfigurationError: there is no such model or form, a package is missing, or the folder is there.
        DarkroomError: the exported model would answer otherwise; nothing is written.
    """
    served = tracking.open_model(tracking.find_model(model, experiment))
    folder = output or _default_folder(served.uri, form)
    with console.status(f"converting {served.uri} to {form}"):
        difference = export_model(served.model, form, folder.absolute(), served.class_names, served.image_size)
    say(f"Exported {served.uri} to {folder}; its answers differ from the Keras model's by at most {difference:.1e}")
    return {
        "status": "done",
        "model_uri": served.uri,
        "format": form,
        "folder": str(folder.absolute()),
        "largest_difference": difference,
    }


def _default_folder(uri: str, form: str) -> Path:
    name = re.sub(r"[^\w.-]+", "-", uri.partition(":")[2] or uri).strip("-.")
    return Settings().home / "exports" / f"{name}-{form}"
