"""A head on a frozen VGG16: images through the backbone in every epoch, or its features kept (`FeatureCache`)."""

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.images import CLASSES, random_images
from benchmarks.report import Row, in_turns, seconds, show
from pipeline_config.experiment import Model, Train
from tasks.input_pipeline import ImageSet
from tasks.train.compute.network import for_training
from tasks.train.compute.policy import Policy
from tasks.train.feature_cache import FeatureCache
from tasks.train.fit import fit_model
from tasks.train.registry import build_model

NAIVE, FIRST, SECOND = "no cache", "cache, first model", "cache, second model"
HEADS = (64, 32)  # dense units of the first and of the second model
POLICY = Policy("float32", fused_batch_normalization=True, jit=False, threads=0)
CACHE_BYTES = 10**10


def measure(quick: bool) -> None:
    """Seconds of whole trainings in turns; each round begins with an empty cache."""
    count, side, epochs, rounds = (400, 64, 3, 1) if quick else (2_000, 128, 10, 3)
    with TemporaryDirectory() as folder:
        images = random_images(count, side, Path(folder), validation=True)
        cache = FeatureCache(Path(folder) / "features", CACHE_BYTES)

        def first() -> float:
            empty(cache.folder)
            return train(images, HEADS[0], epochs, cache)

        train(images, HEADS[0], 1, None)  # what the libraries do once
        parts = {
            NAIVE: lambda: train(images, HEADS[0], epochs, None),
            FIRST: first,
            SECOND: lambda: train(images, HEADS[1], epochs, cache),
        }
        medians = in_turns(parts, rounds)
    show("features", rows(medians), f"VGG16, {count:,} images of {side} px, {epochs} epochs")


def rows(medians: dict[str, float]) -> list[Row]:
    """Seconds, and how many times as fast a cache makes it."""
    naive, both = medians[NAIVE], medians[FIRST] + medians[SECOND]
    cached = [Row(name, medians[name], "s", naive / medians[name], "as fast as no cache") for name in (FIRST, SECOND)]
    two = Row("cache, both models", both, "s", 2 * naive / both, "as fast as no cache, twice")
    return [Row(NAIVE, naive, "s"), *cached, two]


def train(images: ImageSet, units: int, epochs: int, cache: FeatureCache | None) -> float:
    """Seconds of the fit, as the pipeline calls it."""
    settings = Train(epochs=epochs, batch_size=32)
    params = {"backbone": "VGG16", "weights": None, "dense_units": [units]}
    model = Model(name="vgg16", family="transfer", params=params, train=settings)
    network = for_training(build_model(model, images.pixels.shape[1:], CLASSES), POLICY)
    return seconds(lambda: fit_model(network, images, settings, model.name, features=cache, jit=POLICY.jit))


def empty(folder: Path) -> None:
    """Remove what a round before left."""
    for path in folder.glob("*.npy"):
        path.unlink()
