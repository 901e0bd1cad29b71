"""`darkroom run` against a bare script that trains the same models on the same images."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml

from benchmarks.arrays import save_arrays
from benchmarks.report import Row, in_turns, seconds, show

ROOT = Path(__file__).parents[1]
DARKROOM, BARE = "darkroom run", "bare script"
MODELS = ("cnn_plain", "cnn_batchnorm")
BATCH = 64
ALLOWED_SHARE, ALLOWED_SECONDS = 0.05, 30.0  # more than the bare script


def measure(quick: bool) -> None:
    """Seconds of whole processes in turns, each run of the pipeline in a new home."""
    count, epochs, rounds = (1_000, 1, 1) if quick else (10_000, 5, 3)
    answers: list[dict[str, Any]] = []
    accuracies: list[dict[str, Any]] = []
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_experiment(folder / "overhead.yaml", count, epochs)

        def darkroom() -> float:
            home = folder / f"home-{len(answers)}"
            command = [sys.executable, "-m", "flows.cli", "run", "overhead.yaml", "--json"]
            taken = seconds(lambda: answers.append(answer_of(command, folder, DARKROOM_HOME=str(home))))
            save_arrays(home, answers[-1]["data_digest"], folder / "images.npz")
            return taken

        def bare() -> float:
            script = str(ROOT / "benchmarks" / "bare.py")
            command = [sys.executable, script, "images.npz", "--epochs", str(epochs), "--batch-size", str(BATCH)]
            return seconds(lambda: accuracies.append(answer_of(command, folder)))

        medians = in_turns({DARKROOM: darkroom, BARE: bare}, rounds)
    rows = [*compared(medians), *stages(answers), *results(answers, accuracies)]
    show("overhead", rows, f"two CNNs, {count:,} images of 32 px, epochs: {epochs}")


def write_experiment(path: Path, count: int, epochs: int) -> None:
    """Made-up images, and the families' own settings."""
    experiment = {
        "name": "overhead",
        "dataset": {"source": "shapes", "size": 32, "count": count},
        "models": [{"name": family, "family": family} for family in MODELS],
        "train": {"epochs": epochs, "batch_size": BATCH},
    }
    path.write_text(yaml.safe_dump(experiment))


def answer_of(command: Sequence[str], folder: Path, **variables: str) -> dict[str, Any]:
    """The JSON that a program prints; of what the user has set about places it knows nothing."""
    foreign = ("PREFECT_HOME", "PREFECT_API_URL", "MLFLOW_TRACKING_URI")
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    environment = {**kept, "PYTHONPATH": str(ROOT), **variables}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{ended.stdout}{ended.stderr}")
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def compared(medians: Mapping[str, float]) -> list[Row]:
    """Both, and the difference with what it may be."""
    whole, bare = medians[DARKROOM], medians[BARE]
    allowed = ALLOWED_SHARE * bare + ALLOWED_SECONDS
    goal = f"the goal, {ALLOWED_SHARE:.0%} and {ALLOWED_SECONDS:.0f} s"
    return [
        Row(DARKROOM, whole, "s", whole / bare, BARE),
        Row(BARE, bare, "s"),
        Row("difference", whole - bare, "s", (whole - bare) / allowed, goal),
    ]


def stages(answers: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Where the pipeline's time goes, by its own clock; what is left is the loading of libraries."""
    total = float(np.median([answer["seconds"]["total"] for answer in answers]))
    names = [name for name in answers[0]["seconds"] if name != "total"]
    each = {name: float(np.median([answer["seconds"][name] for answer in answers])) for name in names}
    each["before and between"] = total - sum(each.values())
    return [Row(f"of it: {name}", value, "s", value / total, "its total") for name, value in each.items()]


def results(answers: Sequence[Mapping[str, Any]], accuracies: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Seconds of fitting, and accuracies: that both did the same work."""
    rows = []
    for name in MODELS:
        ours = [model["metrics"] for answer in answers for model in answer["models"] if model["name"] == name]
        fitted = float(np.median([metrics["fit_seconds"] for metrics in ours]))
        accuracy = float(np.median([metrics["test_accuracy"] for metrics in ours]))
        their_fit, their_accuracy = (
            float(np.median([answer[name][key] for answer in accuracies])) for key in ("seconds", "accuracy")
        )
        rows.append(Row(f"{name}: fit", fitted, "s", fitted / their_fit, BARE))
        rows.append(Row(f"{name}: test accuracy", accuracy, "", accuracy / their_accuracy, BARE))
    return rows
