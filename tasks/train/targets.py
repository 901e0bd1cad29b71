"""Batches of images as a network's losses take them."""

from typing import Any

import numpy as np

from pipeline_config.errors import DataError
from pipeline_config.experiment import Train
from tasks.input_pipeline import ImageSet, as_written, ordered_batches, training_batches
from tasks.prediction import BATCH_SIZE
from tasks.train.augmentation import augment_with
from tasks.train.heads import head_sizes


def training_data(network: Any, images: ImageSet, train: Train, first_epoch: int) -> Any:
    """Endless batches of the training images, with the settings' augmentation and label smoothing.

    Args:
        network: a Keras model whose outputs tell the number of classes, and whether boxes are wanted.
        images: training rows are used.
        train: settings of one stage.
        first_epoch: of the stage, from 0.

    Returns:
        A `tf.data.Dataset` of pixels and one-hot labels, of which `(1 - label_smoothing)` is on the label and the rest
        alike on all classes (Szegedy et al., Rethinking the Inception Architecture, 2016). Of a network with a box head
        the second is a dict of what its heads are to give.

    Raises:
        DataError: images have no box, and the network is to learn boxes.
    """
    heads = head_sizes(network)
    if "box" in heads:
        check_boxes(images)
    augment = augment_with(train.augmentation) if train.augmentation else None
    batches = training_batches(images, train.batch_size, train.seed, augment, first_epoch, "box" in heads)
    return batches.map(as_written(targets_of(heads, train.label_smoothing)))


def validation_data(network: Any, images: ImageSet) -> Any:
    """One ordered pass over the validation images; labels are not smoothed, so that losses compare."""
    heads = head_sizes(network)
    batches = ordered_batches(images, "validation", BATCH_SIZE, with_boxes="box" in heads)
    return batches.map(as_written(targets_of(heads, 0.0)))


def random_batch(network: Any, pixels: Any) -> tuple[Any, Any]:
    """The pixels, and targets of the right shapes for them, as a batch of `training_data`: to time a step.

    Args:
        network: as there.
        pixels: `(batch, height, width, 3)` uint8.
    """
    labels, boxes = np.zeros(len(pixels), np.int64), np.full((len(pixels), 4), 0.5, np.float32)
    batch: tuple[Any, Any] = targets_of(head_sizes(network), 0.0)(pixels, labels, boxes)
    return batch


def class_weights(images: ImageSet, train: Train) -> dict[int, float] | None:
    """Label -> weight: training images over classes times images of the class (scikit-learn's `balanced`), or None."""
    if not train.class_weights:
        return None
    labels, counts = np.unique(images.labels[images.positions("train")], return_counts=True)
    weights = counts.sum() / (len(labels) * counts)
    return dict(zip(labels.tolist(), weights.tolist(), strict=True))


def check_boxes(images: ImageSet) -> None:
    """Every image that has a split needs a box, those to test with as well.

    Raises:
        DataError: some have none.
    """
    splits = images.rows["split"]
    without = splits.iloc[np.flatnonzero(np.isnan(images.boxes).any(axis=1))].value_counts()
    if without.empty:
        return
    counts = ", ".join(f"{count} of {split}" for split, count in without.items())
    raise DataError(
        f"a model with a box head needs a box for every image; {without.sum()} of {splits.count()} images have none "
        f"({counts}); take a dataset.source with boxes, as voc or shapes, or set params.heads=[class]"
    )


def targets_of(heads: dict[str, int], smoothing: float) -> Any:
    """A function of inputs, labels and, where there is a box head, boxes: the inputs, and what each head is to give.

    Args:
        heads: of `head_sizes`.
        smoothing: share of each label that is spread alike over all classes.
    """
    import tensorflow as tf

    def change(pixels: Any, labels: Any, boxes: Any = None) -> tuple[Any, Any]:
        targets = {"box": boxes}
        if classes := heads.get("probabilities"):
            rest = smoothing / classes
            targets["probabilities"] = tf.one_hot(labels, classes, on_value=1 - smoothing + rest, off_value=rest)
        return pixels, {head: targets[head] for head in heads} if "box" in heads else targets["probabilities"]

    return change
