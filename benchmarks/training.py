"""Training rate of R4b (CIFAR-10, batch normalisation) against plain Keras, and as a share of the convolution peak."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.images import random_images
from benchmarks.report import Row, in_turns, show
from pipeline_config.experiment import Compute, Model, Train
from pipeline_config.settings import Settings
from tasks.input_pipeline import ImageSet
from tasks.progress import say
from tasks.train.compiling import compile_model
from tasks.train.compute.choice import choose_policy
from tasks.train.compute.network import for_training
from tasks.train.compute.work import operations_per_image
from tasks.train.registry import build_model
from tasks.train.targets import training_data

BATCH = 128
WITH_GRADIENTS = "convolutions in bfloat16, with gradients"
SHAPE = (32, 32, 3)
CIFAR_10 = 50_000
"""Images that the policy is chosen for."""
LONGER = 2
"""Rounds of ours have so many times the steps: they then take as long as the others', and what an epoch costs once
weighs no more."""
AUGMENTATION = "shifts_and_flips"  # as the recipe's: 15 degrees, a tenth of the sides, left and right
# R4b's, in order: places, channels in and out.
CONVOLUTIONS = ((32, 3, 64), (32, 64, 64), (16, 64, 128), (16, 128, 128), (8, 128, 256), (8, 256, 256))


def measure(quick: bool) -> None:
    """Rates in turns."""
    steps, rounds = (8, 3) if quick else (40, 7)
    with TemporaryDirectory() as folder:
        images = random_images(BATCH * steps, SHAPE[0], Path(folder))
        rates = {name: trainer(images, steps) for name, trainer in TRAINERS.items()}
        for rate in rates.values():
            rate()  # traces the graph
        peaks = {f"convolutions in {dtype}": convolutions(dtype) for dtype in ("float32", "bfloat16")}
        medians = in_turns({**rates, **peaks, WITH_GRADIENTS: with_gradients()}, rounds)
    show("training", [*rate_rows(medians), *peak_rows(medians)])


def rate_rows(medians: dict[str, float]) -> list[Row]:
    """Ours over each of the others."""
    ours = {True: "darkroom, augmented", False: "darkroom"}
    others = [
        Row(name, medians[name], "images/s", medians[ours["augmented" in name]] / medians[name], "as fast is darkroom")
        for name in TRAINERS
        if name not in ours.values()
    ]
    return [*others, *(Row(name, medians[name], "images/s") for name in ours.values())]


def peak_rows(medians: dict[str, float]) -> list[Row]:
    """The convolutions alone, what share of them the training makes use of, and what they allow at most."""
    operations = sum(operations_per_image(build_model(model(), SHAPE, 10)))
    reached = medians["darkroom"] * operations / 1e9
    rows = [
        Row(name, medians[name], "GFLOP/s", reached / medians[name], "of it reaches darkroom's training")
        for name in ("convolutions in float32", "convolutions in bfloat16")
    ]
    alone, peak = medians[WITH_GRADIENTS], medians["convolutions in bfloat16"]
    bound = Row(WITH_GRADIENTS, alone, "GFLOP/s", alone / peak, "of that peak, were all the rest free")
    at_peak, generator = 1e9 * peak / operations, medians["keras, ImageDataGenerator, augmented"]
    most = Row("R4b, were it all at that peak", at_peak, "images/s", at_peak / generator, "keras, ImageDataGenerator")
    return [*rows, bound, Row("darkroom's training", reached, "GFLOP/s"), most]


def model(augmented: bool = False) -> Model:
    """R4b's section, its settings the family's own."""
    train = Train.model_validate({"batch_size": BATCH, "augmentation": AUGMENTATION if augmented else None})
    return Model(name="r4b", family="cnn_batchnorm", train=train)


def ours(augmented: bool) -> Callable[[ImageSet, int], Callable[[], float]]:
    """As `darkroom run` trains: by the policy that it finds to be the fastest, on batches from the cache."""

    def trainer(images: ImageSet, steps: int) -> Callable[[], float]:
        section = model(augmented)
        built = build_model(section, SHAPE, 10)
        cache = Settings().cache
        cache.mkdir(parents=True, exist_ok=True)
        policy, reason = choose_policy(built, section, SHAPE[:2], CIFAR_10, Compute(), cache)
        say(f"darkroom trains in {reason}")
        network = for_training(built, policy)
        compile_model(network, section.train)
        data = training_data(network, images, section.train, 0)
        return lambda: _rate(network, LONGER * steps, data)

    return trainer


def keras_with_generator(images: ImageSet, steps: int) -> Callable[[], float]:
    """As the recipe did it: an ImageDataGenerator, and Keras's defaults."""
    import tensorflow as tf

    generator = tf.keras.preprocessing.image.ImageDataGenerator(
        rescale=1 / 255, rotation_range=15, width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True
    )
    data = generator.flow(np.asarray(images.pixels), one_hot(images), batch_size=BATCH)
    network = without_preprocessing()
    network.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return lambda: _rate(network, steps, data)


def keras_on_arrays(images: ImageSet, _: int) -> Callable[[], float]:
    """Keras's defaults on arrays of floats."""
    pixels, targets = np.asarray(images.pixels, np.float32) / 255, one_hot(images)
    network = without_preprocessing()
    network.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return lambda: _rate(network, None, pixels, targets, batch_size=BATCH)


def keras_at_its_best(images: ImageSet, steps: int) -> Callable[[], float]:
    """Float32 by standard layers, without XLA, on batches that cost nothing."""
    import tensorflow as tf

    pixels, targets = np.asarray(images.pixels, np.float32) / 255, one_hot(images)
    data = tf.data.Dataset.from_tensor_slices((pixels, targets)).batch(BATCH).cache().repeat().prefetch(2)
    options = tf.data.Options()
    options.autotune.enabled = False
    network = without_preprocessing()
    network.compile("adam", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    data = data.with_options(options)
    return lambda: _rate(network, steps, data)


TRAINERS = {
    "keras, ImageDataGenerator, augmented": keras_with_generator,
    "keras, arrays": keras_on_arrays,
    "keras, float32 at its best": keras_at_its_best,
    "darkroom, augmented": ours(augmented=True),
    "darkroom": ours(augmented=False),
}


def without_preprocessing() -> Any:
    """R4b as the recipe has it, which scales its pixels outside."""
    import keras
    from keras import layers

    blocks = []
    for filters in (64, 128, 256):
        for _ in range(2):
            blocks += [layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.BatchNormalization()]
        blocks.append(layers.MaxPooling2D())
    head = [layers.Flatten(), layers.Dense(256, activation="relu"), layers.Dropout(0.5)]
    return keras.Sequential([keras.Input(SHAPE), *blocks, *head, layers.Dense(10, activation="softmax")])


def one_hot(images: ImageSet) -> Any:
    """`(n, 10)` float32."""
    return np.eye(10, dtype=np.float32)[images.labels]


def _rate(network: Any, steps: int | None, *data: Any, **options: Any) -> float:
    """Images a second of one epoch."""
    started = time.perf_counter()
    network.fit(*data, steps_per_epoch=steps, epochs=1, shuffle=steps is None, verbose=0, **options)
    images = BATCH * steps if steps else len(data[0])
    return images / (time.perf_counter() - started)


def convolutions(dtype: str) -> Callable[[], float]:
    """GFLOP/s of the forward pass of the fastest of R4b's convolutions alone."""
    import tensorflow as tf

    def one(side: int, channels: int, filters: int) -> Callable[[], float]:
        x = tf.cast(tf.random.normal((BATCH, side, side, channels)), dtype)
        kernel = tf.cast(tf.random.normal((3, 3, channels, filters)), dtype)
        compute = tf.function(lambda: tf.reduce_max(tf.nn.conv2d(x, kernel, 1, "SAME")))
        run = compute.get_concrete_function()  # a function that traces when it is called warns where there are several
        run()
        operations = 2 * BATCH * side**2 * 9 * channels * filters
        return lambda: _repeated(run, operations)

    each = [one(*sizes) for sizes in CONVOLUTIONS]
    return lambda: max(rate() for rate in each)


def with_gradients() -> Callable[[], float]:
    """GFLOP/s of all of R4b's convolutions in bfloat16, forward and backward, with nothing between them.

    What a training can reach at most: its weight gradients are slower than its forward passes by far.
    """
    import tensorflow as tf

    def one(side: int, channels: int, filters: int) -> Callable[[], Any]:
        x = tf.cast(tf.random.normal((BATCH, side, side, channels)), "bfloat16")
        kernel = tf.cast(tf.random.normal((3, 3, channels, filters)), "bfloat16")
        upstream = tf.cast(tf.random.normal((BATCH, side, side, filters)), "bfloat16")

        def both() -> Any:
            with tf.GradientTape() as tape:
                tape.watch([x, kernel])
                outputs = tf.nn.conv2d(x, kernel, 1, "SAME")
            wanted = [kernel] if channels == SHAPE[2] else [x, kernel]  # pixels need no gradient
            gradients = tape.gradient(outputs, wanted, upstream)
            return tf.add_n([tf.reduce_max(tf.cast(each, "float32")) for each in (outputs, *gradients)])

        return tf.function(both).get_concrete_function()

    each = [one(*sizes) for sizes in CONVOLUTIONS]
    forward = [2 * BATCH * side**2 * 9 * channels * filters for side, channels, filters in CONVOLUTIONS]
    operations = 3 * sum(forward) - forward[0]

    def run() -> Any:
        for compute in each:
            answer = compute()
        return answer

    run()
    return lambda: _repeated(run, operations, times=5)


def _repeated(run: Callable[[], Any], operations: int, times: int = 20) -> float:
    started = time.perf_counter()
    for _ in range(times):
        run().numpy()
    return times * operations / (time.perf_counter() - started) / 1e9
