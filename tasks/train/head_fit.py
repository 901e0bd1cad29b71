"""Train a head on features. An epoch takes a tenth of a second, and what Keras's `fit` does around it several.

So all steps of an epoch run in one graph: no callback between steps, no batches handed over one by one. The steps are
Keras's own (`train_step`, `test_step`), with the batches that the whole network would be given.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_config.experiment import Train
from tasks.input_pipeline import ImageSet, Positions, epoch_order, read_rows
from tasks.prediction import BATCH_SIZE
from tasks.train.checkpoint import Progress
from tasks.train.features import EpochFeatures, Features
from tasks.train.heads import head_sizes
from tasks.train.targets import check_boxes, class_weights, targets_of
from tasks.train.watching import Watch, is_done

_CHUNK_BYTES = 64 * 2**20  # of features that are in memory at a time

Columns = tuple[Any, ...]
"""Targets, and with class weights a weight for each image: what follows the features in a batch of Keras's."""

Step = Callable[[Any, Columns], Any]
"""Learning rate and batch -> the head changed, or only its metrics."""


@dataclass(frozen=True)
class _Rows:
    """Features and the columns that go with them, in the order of a pass."""

    features: Features
    dtype: Any
    of_features: Positions
    columns: Columns
    of_columns: Positions

    def chunks(self, batch_size: int) -> Iterator[tuple[int, Columns]]:
        """Number of the first batch, and some whole batches in one piece; the last may be short."""
        import keras

        bytes_of_batch = batch_size * self.features[:1].nbytes
        batches = max(1, _CHUNK_BYTES // bytes_of_batch)
        for start in range(0, len(self.of_features), batches * batch_size):
            end = start + batches * batch_size
            rows = self.of_columns[start:end]
            others = keras.tree.map_structure(lambda column, rows=rows: column[rows], self.columns)
            features = read_rows(self.features, self.of_features[start:end]).astype(self.dtype, copy=False)
            yield start // batch_size, (features, *others)


def fit_head(
    head: Any, features: EpochFeatures, images: ImageSet, stage: Train, progress: Progress, watch: Watch
) -> None:
    """The epochs of the stage that are still to do.

    Args:
        head: compiled for the stage.
        features: of the images.
        images: their labels and boxes; the shuffled orders are those of `training_batches`.
        stage: its settings.
        progress: of the whole training.
        watch: told of every epoch.

    Raises:
        DarkroomError: a loss became infinite or not a number.
        DataError: images have no box, and the head is to learn boxes.
    """
    targets, plain_targets = _all_targets(head, images, stage)
    train, validation = images.positions("train"), images.positions("validation")
    _build_state(head, features, targets)
    dtype = np.result_type(features.plain, *features.copies)  # of some a number may have been too large for float16
    example = features.plain[:1].astype(dtype)
    tested_rows = _Rows(features.plain, dtype, features.validation, plain_targets, validation)
    train_steps = _steps(_with_rate(head), stage.batch_size, (example, *targets))
    test_steps = _steps(lambda _, batch: head.test_step(batch), BATCH_SIZE, (example, *plain_targets))
    while not is_done(progress, stage):
        epoch = len(progress.stage_losses)
        order = epoch_order(np.arange(len(train)), stage.seed, epoch)
        copy = features.copies[epoch % len(features.copies)]
        rows = _Rows(copy, dtype, features.train[order], targets, train[order])
        trained = _pass(head, rows, stage.batch_size, train_steps, watch.rates_of_epoch())
        tested = _pass(head, tested_rows, BATCH_SIZE, test_steps, [])
        watch.end_epoch_of_one_piece({**trained, **{f"val_{metric}": value for metric, value in tested.items()}})


def _all_targets(head: Any, images: ImageSet, stage: Train) -> tuple[Columns, Columns]:
    """Targets of all images, to train with (smoothed, weighted) and to validate with, as of `targets.py`."""
    heads = head_sizes(head)
    if "box" in heads:
        check_boxes(images)
    smoothed, exact = (
        _arrays(targets_of(heads, share)(None, images.labels, images.boxes)[1])
        for share in (stage.label_smoothing, 0.0)
    )
    weights = class_weights(images, stage)
    if not weights:
        return (smoothed,), (exact,)
    of_labels = np.array([weights.get(label, 1.0) for label in images.labels.tolist()], np.float32)
    return (smoothed, of_labels), (exact,)


def _arrays(structure: Any) -> Any:
    import keras

    return keras.tree.map_structure(np.asarray, structure)


def _build_state(head: Any, features: EpochFeatures, targets: Columns) -> None:
    """Make what Keras makes in a first step; made within a graph, this would be traced twice."""
    import keras

    head.optimizer.build(head.trainable_variables)
    first = keras.tree.map_structure(lambda column: column[:1], (features.plain, *targets))
    head.test_step(first)


def _with_rate(head: Any) -> Step:
    def step(rate: Any, batch: Columns) -> None:
        head.optimizer.learning_rate.assign(rate)
        head.train_step(batch)

    return step


def _steps(step: Step, batch_size: int, example: Columns) -> Any:
    """A graph of one step after the other over a chunk, which has the example's types and any number of rows.

    Traced once, here: a function that traces when it is called warns where a process fits several heads.
    """
    import keras
    import tensorflow as tf

    def run(rates: Any, chunk: Columns) -> None:
        def one(number: Any) -> tuple[Any]:
            start = number * batch_size
            step(rates[number], keras.tree.map_structure(lambda column: column[start : start + batch_size], chunk))
            return (number + 1,)

        count = tf.shape(chunk[0])[0]
        tf.while_loop(lambda number: number * batch_size < count, one, (tf.constant(0),), parallel_iterations=1)

    specs = keras.tree.map_structure(lambda column: tf.TensorSpec((None, *column.shape[1:]), column.dtype), example)
    return tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec((None,), tf.float32), specs)


def _pass(head: Any, rows: _Rows, batch_size: int, steps: Any, rates: list[float]) -> dict[str, float]:
    """Loss and metrics of one pass over the rows; without rates nothing is trained."""
    import keras
    import tensorflow as tf

    head.reset_metrics()
    for first, chunk in rows.chunks(batch_size):
        count = -(-len(chunk[0]) // batch_size)
        of_chunk = rates[first : first + count] or [0.0] * count
        steps(tf.constant(of_chunk), keras.tree.map_structure(tf.constant, chunk))
    return {metric: float(value) for metric, value in head.get_metrics_result().items()}
