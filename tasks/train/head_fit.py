"""Train a head on features. An epoch takes a tenth of a second, and what Keras's `fit` does around it several.

So all steps of an epoch run in one graph: no callback between steps, no batches handed over one by one. The steps are
Keras's own (`train_step`, `test_step`), with the batches that the whole network would be given; of what is validated,
as many images at once as memory allows, since their order and batches make no difference.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline_config.experiment import Train
from tasks.input_pipeline import ImageSet, Positions, epoch_order, read_rows
from tasks.train.checkpoint import Progress
from tasks.train.features import EpochFeatures, Features
from tasks.train.heads import head_sizes
from tasks.train.targets import check_boxes, class_weights, targets_of
from tasks.train.watching import Watch

_CHUNK_BYTES = 64 * 2**20  # of features that are in memory at a time

Columns = tuple[Any, ...]
"""Targets, and with class weights a weight for each image: what follows the features in a batch of Keras's."""

Run = Callable[[int, Columns], None]
"""Number of the first batch and some batches in one piece -> the head changed, or only its metrics."""

Rates = npt.NDArray[np.float32]
"""The learning rate of every step of an epoch."""


@dataclass(frozen=True)
class _Rows:
    """Features and the columns that go with them, in the order of a pass."""

    features: Features
    dtype: Any
    of_features: Positions
    columns: Columns
    of_columns: Positions

    def chunks(self, batch_size: int, max_bytes: int) -> Iterator[tuple[int, Columns]]:
        """Number of the first batch, and some whole batches in one piece; the last may be short."""
        import keras
        import tensorflow as tf

        bytes_of_batch = batch_size * self.features[:1].nbytes
        batches = max(1, max_bytes // bytes_of_batch)
        for start in range(0, len(self.of_features), batches * batch_size):
            end = start + batches * batch_size
            rows = self.of_columns[start:end]
            others = keras.tree.map_structure(lambda column, rows=rows: column[rows], self.columns)
            features = read_rows(self.features, self.of_features[start:end]).astype(self.dtype, copy=False)
            yield start // batch_size, keras.tree.map_structure(tf.constant, (features, *others))


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
    _build_state(head, targets[0])
    dtype = np.result_type(features.plain, *features.copies)  # of some a number may have been too large for float16
    example = features.plain[:1].astype(dtype)
    tested_rows = _Rows(features.plain, dtype, features.validation, plain_targets, validation)
    train_steps = _train_steps(head, stage.batch_size, (example, *targets))
    test_step = _test_step(head, (example, *plain_targets))
    while not watch.is_done:
        epoch = len(progress.stage_losses)
        order = epoch_order(np.arange(len(train)), stage.seed, epoch)[: watch.steps.images_of(epoch)]
        copy = features.copies[epoch % len(features.copies)]
        rows = _Rows(copy, dtype, features.train[order], targets, train[order])
        rates = np.array(watch.rates_of_epoch(), np.float32)
        trained = _pass(head, rows.chunks(stage.batch_size, _CHUNK_BYTES), partial(train_steps, rates))
        tested = _pass(head, tested_rows.chunks(1, _CHUNK_BYTES // 4), test_step)  # the head makes more numbers of them
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


def _build_state(head: Any, targets: Any) -> None:
    """Make the variables that Keras makes in a first step; made within a graph, this would be traced twice."""
    head.optimizer.build(head.trainable_variables)
    head._compile_metrics.build(targets, head.output)
    head._compile_loss.build(targets, head.output)


def _train_steps(head: Any, batch_size: int, example: Columns) -> Callable[[Rates, int, Columns], None]:
    """One step after the other over a chunk, each with its rate."""
    import keras
    import tensorflow as tf

    def run(rates: Any, first: Any, chunk: Columns) -> None:
        def one(number: Any) -> tuple[Any]:
            start = number * batch_size
            head.optimizer.learning_rate.assign(rates[first + number])
            head.train_step(keras.tree.map_structure(lambda column: column[start : start + batch_size], chunk))
            return (number + 1,)

        count = tf.shape(chunk[0])[0]
        tf.while_loop(lambda number: number * batch_size < count, one, (tf.constant(0),), parallel_iterations=1)

    graph = _graph(run, tf.TensorSpec((None,), tf.float32), tf.TensorSpec((), tf.int32), _specs(example))
    return lambda rates, first, chunk: graph(tf.constant(rates), tf.constant(first), chunk)


def _test_step(head: Any, example: Columns) -> Run:
    """One step over a whole chunk."""

    def run(chunk: Columns) -> None:
        head.test_step(chunk)

    graph = _graph(run, _specs(example))
    return lambda _, chunk: graph(chunk)


def _specs(example: Columns) -> Any:
    """Of the example's types and any number of rows."""
    import keras
    import tensorflow as tf

    return keras.tree.map_structure(lambda column: tf.TensorSpec((None, *column.shape[1:]), column.dtype), example)


def _graph(run: Callable[..., None], *specs: Any) -> Any:
    """Traced once, here: a function that traces when it is called warns where a process fits several heads."""
    import tensorflow as tf

    return tf.function(run, autograph=False).get_concrete_function(*specs)


def _pass(head: Any, chunks: Iterator[tuple[int, Columns]], run: Run) -> dict[str, float]:
    """Loss and metrics of one pass over the rows."""
    head.reset_metrics()
    for first, chunk in chunks:
        run(first, chunk)
    return {metric: float(value) for metric, value in head.get_metrics_result().items()}
