"""Fit a model on the training images, watch the validation images, never see the test images."""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Train
from tasks import predictions
from tasks.input_pipeline import ImageSet, ordered_batches, steps_per_epoch, training_batches
from tasks.prediction import BATCH_SIZE, predict_split
from tasks.progress import Bar, bar
from tasks.train.augmentation import augment_with
from tasks.train.freezing import set_trainable

History = dict[str, list[float]]
"""Metric -> one value an epoch: train_loss, train_accuracy, val_loss, val_accuracy."""


@dataclass(frozen=True)
class Fit:
    """How a training went.

    Attributes:
        history: one value an epoch; one only where the model has no epochs.
        chosen_epoch: the epoch, from 1, whose weights the model holds now.
        seconds: of fitting, validation after each epoch included.
        images_seen: training images, counted once for each time they were used.
        stage_starts: first epoch of each stage; 1 alone where the training has no stages.
    """

    history: History
    chosen_epoch: int
    seconds: float
    images_seen: int
    stage_starts: tuple[int, ...] = (1,)


def fit_model(model: Any, images: ImageSet, train: Train, name: str) -> Fit:
    """Fit in place.

    Args:
        model: an unfitted Keras model or scikit-learn classifier of raw pixels.
        images: training and validation rows are used.
        train: the model's settings. With early stopping the weights of the lowest validation loss are kept, over all
            stages; without it the last.
        name: for the progress bar.

    Raises:
        DarkroomError: the loss became infinite or not a number.
    """
    if hasattr(model, "predict_proba"):
        return _fit_sklearn(model, images, name)
    return _fit_keras(model, images, train, name)


def _fit_keras(model: Any, images: ImageSet, train: Train, name: str) -> Fit:
    """Stage after stage. With early stopping a stage that ends worse than the one before is undone."""
    steps = steps_per_epoch(images, train.batch_size)
    stages = stages_of(train)
    history: History = {}
    starts = []
    best: tuple[float, Any] = (math.inf, None)
    with bar(f"training {name}", steps * sum(stage.epochs for stage in stages)) as shown:
        started = time.perf_counter()
        for number, stage in enumerate(stages):
            before = len(history.get("val_loss", []))
            starts.append(before + 1)
            if train.stages:
                set_trainable(model, train.stages[number].trainable)
            watch = _watch(shown, name, f"stage {number + 1}, " if train.stages else "")
            recorded = _fit_stage(model, images, stage, before, watch)
            history = {metric: history.get(metric, []) + values for metric, values in recorded.items()}
            if train.early_stopping_patience and len(stages) > 1:
                best = _keep_better(model, min(recorded["val_loss"]), best)
        seconds = time.perf_counter() - started
        shown.shrink_to_done()
    epochs = len(history["train_loss"])
    chosen = int(np.argmin(history["val_loss"])) + 1 if train.early_stopping_patience else epochs
    return Fit(history, chosen, seconds, epochs * len(images.positions("train")), tuple(starts))


def stages_of(train: Train) -> list[Train]:
    """The settings of each stage, complete; one where the training has no stages.

    The seeds differ, so that a stage does not see the batches of the one before again.
    """
    if not train.stages:
        return [train]
    return [
        train.model_copy(
            update={
                "epochs": stage.epochs,
                "learning_rate": stage.learning_rate,
                "optimizer": stage.optimizer or train.optimizer,
                "seed": train.seed + number,
                "stages": (),
            }
        )
        for number, stage in enumerate(train.stages)
    ]


def _fit_stage(model: Any, images: ImageSet, train: Train, before: int, watch: Any) -> History:
    """Compile and fit; epochs count on from those before."""
    steps = steps_per_epoch(images, train.batch_size)
    augment = augment_with(train.augmentation) if train.augmentation else None
    compile_model(model, train, steps)
    recorded = model.fit(
        training_batches(images, train.batch_size, train.seed, augment),
        validation_data=ordered_batches(images, "validation", BATCH_SIZE),
        initial_epoch=before,
        epochs=before + train.epochs,
        steps_per_epoch=steps,
        callbacks=[watch, *_early_stopping(train)],
        class_weight=_balanced(images) if train.class_weights else None,
        shuffle=False,  # the batches are shuffled already
        verbose=0,
    ).history
    return _named(recorded)


def _early_stopping(train: Train) -> list[Any]:
    import keras

    patience = train.early_stopping_patience
    return [keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)] if patience else []


def _keep_better(model: Any, loss: float, best: tuple[float, Any]) -> tuple[float, Any]:
    """The lower validation loss and its weights, which the model then has."""
    if loss < best[0]:
        return loss, model.get_weights()
    model.set_weights(best[1])
    return best


def _balanced(images: ImageSet) -> dict[int, float]:
    """Label -> weight: training images over classes times images of the class (scikit-learn's `balanced`)."""
    labels, counts = np.unique(images.labels[images.positions("train")], return_counts=True)
    weights = counts.sum() / (len(labels) * counts)
    return dict(zip(labels.tolist(), weights.tolist(), strict=True))


def compile_model(model: Any, train: Train, steps: int) -> None:
    """Give a Keras model its optimiser, loss and metrics.

    Args:
        model: outputs probabilities.
        train: the model's settings.
        steps: batches of an epoch, for the learning-rate schedule.
    """
    model.compile(
        optimizer=_optimizer(train, steps),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,  # "auto" compiles, which makes convolutions slower on a CPU
    )


def _fit_sklearn(model: Any, images: ImageSet, name: str) -> Fit:
    positions = images.positions("train")
    with bar(f"training {name}", 1) as shown:
        started = time.perf_counter()
        model.fit(images.pixels[positions], images.labels[positions])
        seconds = time.perf_counter() - started
        shown.advance()
    return Fit(_history_of_one(model, images), 1, seconds, len(positions))


def _history_of_one(model: Any, images: ImageSet) -> History:
    """Loss and accuracy of a model that has no epochs, on training and validation images."""
    class_names = tuple(map(str, range(int(images.labels.max()) + 1)))
    history: History = {}
    for split, prefix in (("train", "train"), ("validation", "val")):
        table = predict_split(model, images, split, class_names)
        history[f"{prefix}_loss"] = [predictions.log_loss(table)]
        history[f"{prefix}_accuracy"] = [float(predictions.correct(table).mean())]
    return history


def _named(recorded: dict[str, list[float]]) -> History:
    """Keras's names -> ours."""
    return {key if key.startswith("val_") else f"train_{key}": list(map(float, recorded[key])) for key in recorded}


def _optimizer(train: Train, steps: int) -> Any:
    import keras

    rate: Any = train.learning_rate
    if train.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(train.learning_rate, decay_steps=train.epochs * steps)
    optimizers = {
        "adam": keras.optimizers.Adam,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    }
    return optimizers[train.optimizer](rate)


def _watch(shown: Bar, name: str, stage: str) -> Any:
    """A Keras callback that moves the bar, and ends a training whose loss is lost."""
    import keras

    class Watch(keras.callbacks.Callback):  # type: ignore[misc] # keras has no types
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            shown.advance()
            _check_finite(name, "training", (logs or {}).get("loss", 0.0), f"step {batch + 1} of an epoch")

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            logs = logs or {}
            _check_finite(name, "validation", logs["val_loss"], f"the end of epoch {epoch + 1}")
            figures = f"val_loss {logs['val_loss']:.3f}, val_accuracy {logs['val_accuracy']:.3f}"
            shown.note(f"{stage}epoch {epoch + 1}: {figures}")

    return Watch()


def _check_finite(name: str, which: str, loss: float, when: str) -> None:
    if not math.isfinite(loss):
        raise DarkroomError(
            f"models.{name}: the {which} loss became {loss} at {when}; expected a finite number; "
            "a lower train.learning_rate is the usual mend"
        )
