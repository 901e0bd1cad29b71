"""The two CNNs of recipe R4 as a script without a pipeline trains them: plain Keras and NumPy, nothing of this project.

By hand on the images of a run of cifar10_quick: `python -m benchmarks.arrays HOME DIGEST cifar10.npz`, then
`python benchmarks/bare.py cifar10.npz --epochs 5 --batch-size 64 --cosine --augmented cnn_batchnorm`.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def main() -> None:
    """Train each network, predict the test images, print accuracy and seconds of each as JSON."""
    asked = arguments()
    with np.load(asked.images) as file:
        images = dict(file)
    told = {name: run(name, images, asked) for name in asked.models}
    print(json.dumps(told))


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="npz of train_x, train_y, validation_x, validation_y, test_x, test_y")
    parser.add_argument("--models", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--cosine", action="store_true", help="the learning rate falls along a cosine to 0")
    parser.add_argument("--augmented", nargs="*", choices=NETWORKS, default=[], help="models whose images are changed")
    return parser.parse_args()


def run(name: str, images: dict[str, Any], asked: argparse.Namespace) -> dict[str, float]:
    """Accuracy on the test images and seconds of the fit."""
    import keras

    keras.utils.set_random_seed(0)
    x = {split: images[f"{split}_x"].astype(np.float32) / 255 for split in ("train", "validation", "test")}
    y = {split: images[f"{split}_y"] for split in x}
    network = NETWORKS[name](x["train"].shape[1:], int(y["train"].max()) + 1)
    rate = asked.learning_rate
    if asked.cosine:
        steps = -(-len(x["train"]) // asked.batch_size)
        rate = keras.optimizers.schedules.CosineDecay(rate, steps * asked.epochs)
    network.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False
    )
    started = time.perf_counter()
    fit(network, x, y, asked, name in asked.augmented)
    seconds = time.perf_counter() - started
    answers = network.predict(x["test"], batch_size=256, verbose=0).argmax(axis=1)
    return {"accuracy": float((answers == y["test"]).mean()), "seconds": seconds}


def fit(network: Any, x: dict[str, Any], y: dict[str, Any], asked: argparse.Namespace, augmented: bool) -> None:
    """On the arrays, or on what an ImageDataGenerator makes of them."""
    common = {"epochs": asked.epochs, "validation_data": (x["validation"], y["validation"]), "verbose": 0}
    if not augmented:
        network.fit(x["train"], y["train"], batch_size=asked.batch_size, **common)
        return
    import tensorflow as tf

    generator = tf.keras.preprocessing.image.ImageDataGenerator(
        rotation_range=15, width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True
    )
    network.fit(generator.flow(x["train"], y["train"], batch_size=asked.batch_size), shuffle=False, **common)


def cnn_plain(shape: tuple[int, ...], classes: int) -> Any:
    """R4a: 3 × (convolution, convolution, max-pooling), a dense layer."""
    return _cnn(shape, classes, normalized=False, dropout=0.0)


def cnn_batchnorm(shape: tuple[int, ...], classes: int) -> Any:
    """R4b: R4a with batch normalisation after each convolution, and dropout."""
    return _cnn(shape, classes, normalized=True, dropout=0.5)


NETWORKS = {"cnn_plain": cnn_plain, "cnn_batchnorm": cnn_batchnorm}


def _cnn(shape: tuple[int, ...], classes: int, normalized: bool, dropout: float) -> Any:
    import keras
    from keras import layers

    network = keras.Sequential([keras.Input(shape)])
    for filters in (64, 128, 256):
        for _ in range(2):
            network.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
            if normalized:
                network.add(layers.BatchNormalization())
        network.add(layers.MaxPooling2D())
    network.add(layers.Flatten())
    network.add(layers.Dense(256, activation="relu"))
    if dropout:
        network.add(layers.Dropout(dropout))
    network.add(layers.Dense(classes, activation="softmax"))
    return network


if __name__ == "__main__":
    main()
