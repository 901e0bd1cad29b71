"""`make bench-sweep`: what a sweep costs beyond its trials' fits, and what features that are computed once bring it."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import joblib
import numpy as np
import yaml

from benchmarks.images import CLASSES, random_images
from benchmarks.overhead import answer_of
from benchmarks.report import Row, seconds, show
from pipeline_config.experiment import Model, Train
from tasks.input_pipeline import ImageSet
from tasks.prediction import BATCH_SIZE
from tasks.train.compute.network import for_training
from tasks.train.compute.policy import Policy
from tasks.train.fit import fit_model
from tasks.train.registry import build_model

ALLOWED_WALL = 1.15  # times the fits' seconds over the workers
ALLOWED_PASSES = 1.5  # of the backbone, beside the heads' own fits
HEADS = {"params.dense_units": [[], [64]], "train.learning_rate": [0.003, 0.001, 0.0003, 0.0001]}
SMALL = {"params.dropout": [0.2, 0.3, 0.4, 0.5], "train.learning_rate": [0.002, 0.001]}
IMAGES, SIDE, EPOCHS = 2_000, 128, 10
POLICY = Policy("float32", fused_batch_normalization=True, jit=False, threads=0)


def main() -> None:
    """Both sweeps, or the one that is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="small, heads; both where none is given")
    parser.add_argument("--backbone", help="a .keras file without classifier; default: EfficientNetB0, new weights")
    asked = parser.parse_args()
    parts = {"small": measure_small, "heads": lambda: measure_heads(asked.backbone)}
    for name in asked.names or parts:
        parts[name]()


def measure_small() -> None:
    """Eight trials of a CNN on the digits, side by side, against the seconds that their fits took."""
    experiment = {
        "name": "small",
        "dataset": {"source": "digits"},
        "models": [{"name": "cnn", "family": "cnn_plain", "params": {"filters": [32, 64], "dense_units": [128]}}],
        "train": {"epochs": 40, "batch_size": 64},
    }
    answer = swept(experiment, "cnn", SMALL)
    wall, fits, workers = answer["seconds"]["sweep"], seconds_of(answer, "fit"), joblib.cpu_count()
    start = float(np.median(np.subtract(seconds_of(answer, "trial"), fits)))
    rows = [
        Row("whole sweep, its report included", wall, "s", wall / (sum(fits) / workers), "fits over workers"),
        Row("fits, all together", sum(fits), "s"),
        Row("fits over workers", sum(fits) / workers, "s"),
        Row("the goal", ALLOWED_WALL * sum(fits) / workers, "s", ALLOWED_WALL, "fits over workers"),
        Row("a trial beside its fit, from its start to its end", start, "s"),
    ]
    show("sweep small", rows, f"{len(fits)} trials of a CNN on the digits, {workers} workers")


def measure_heads(backbone: str | None) -> None:
    """Eight heads on one frozen backbone: by a sweep; and, of one trial, with the images through it in every epoch."""
    params = {"backbone": backbone} if backbone else {"backbone": "EfficientNetB0", "weights": None}
    experiment = {
        "name": "heads",
        "dataset": {"source": "shapes", "size": SIDE, "count": IMAGES},
        "models": [{"name": "head", "family": "transfer", "params": params}],
        "train": {"epochs": EPOCHS, "batch_size": 32},
        "validation": {"near_duplicates": "off", "leakage": "off"},
    }
    answer = swept(experiment, "head", HEADS)
    wall, fits, trials = answer["seconds"]["sweep"], seconds_of(answer, "fit"), seconds_of(answer, "trial")
    with TemporaryDirectory() as folder:
        images = random_images(IMAGES, SIDE, Path(folder), validation=True)
        one_pass, naive = pass_seconds(images, params), naive_seconds(images, params) * len(fits)
    allowed, wider = (ALLOWED_PASSES * one_pass + sum(each) for each in (fits, trials))
    rows = [
        Row("whole sweep, its report included", wall, "s", wall / allowed, "the goal"),
        Row("the goal", allowed, "s", allowed / one_pass, "one pass"),
        Row("one pass of the backbone", one_pass, "s"),
        Row("heads' own fits, all together", sum(fits), "s", sum(fits) / one_pass, "one pass"),
        Row(
            "heads' trials with process and network, all together", sum(trials), "s", sum(trials) / one_pass, "one pass"
        ),
        Row("the same goal with these", wider, "s", wall / wider, "of it the sweep"),
        Row(f"every epoch through the backbone, {len(fits)} times one trial", naive, "s", naive / wall, "the sweep"),
    ]
    show("sweep heads", rows, f"{len(fits)} heads, {IMAGES:,} images of {SIDE} px, {EPOCHS} epochs")


def swept(experiment: Mapping[str, Any], model: str, space: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """What the command answers, in a new home."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sweep = {"model": model, "space": dict(space), "pruner": "none"}
        (folder / "sweep.yaml").write_text(yaml.safe_dump({**experiment, "sweep": sweep}))
        command = [sys.executable, "-m", "flows.cli", "sweep", "sweep.yaml", "--json"]
        return answer_of(command, folder, DARKROOM_HOME=str(folder / "home"))


def seconds_of(answer: Mapping[str, Any], part: str) -> list[float]:
    """Of each trial, as the runs have them: `fit`, or `trial`, from the start of its process to its end."""
    return [trial["metrics"][f"{part}_seconds"] for trial in answer["sweep"]["trials"]]


def pass_seconds(images: ImageSet, params: Mapping[str, Any]) -> float:
    """Of all images through the frozen network once, by all processors; the second pass, since the first compiles."""
    network, everything = build(params, Train()), np.arange(len(images.rows))

    def run() -> None:
        for start in range(0, len(everything), BATCH_SIZE):
            network.predict_on_batch(images.read(everything[start : start + BATCH_SIZE]))

    run()
    return seconds(run)


def naive_seconds(images: ImageSet, params: Mapping[str, Any]) -> float:
    """Of one trial without features that are kept."""
    train = Train(epochs=EPOCHS, batch_size=32)
    network = for_training(build(params, train), POLICY)
    return seconds(lambda: fit_model(network, images, train, "naive", jit=POLICY.jit))


def build(params: Mapping[str, Any], train: Train) -> Any:
    """The network of a trial."""
    return build_model(
        Model(name="head", family="transfer", params=dict(params), train=train), (SIDE, SIDE, 3), CLASSES
    )


if __name__ == "__main__":
    from flows.start import load_tensorflow
    from tasks.progress import console

    console.quiet = True
    load_tensorflow()
    main()
