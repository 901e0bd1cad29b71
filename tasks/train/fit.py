"""Fit a model on the training images, watch the validation images, never see the test images."""

import time
from dataclasses import dataclass
from typing import Any

from pipeline_config.experiment import Train
from tasks import predictions
from tasks.input_pipeline import ImageSet, steps_per_epoch
from tasks.prediction import predict_split
from tasks.progress import bar, say
from tasks.train.checkpoint import Checkpoint, History, Progress, restore
from tasks.train.compiling import compile_model
from tasks.train.freezing import set_trainable
from tasks.train.targets import class_weights, training_data, validation_data
from tasks.train.watching import Watch, is_done, lowest


@dataclass(frozen=True)
class Fit:
    """How a training went.

    Attributes:
        history: one value an epoch; one only where the model has no epochs.
        chosen_epoch: the epoch, from 1, whose weights the model holds now.
        seconds: of fitting, validation after each epoch included; of a training that went on, over all its parts.
        images_seen: training images, counted once for each time they were used.
        stage_starts: first epoch of each stage; 1 alone where the training has no stages.
        resumed_after: epochs that an interrupted run had finished; 0 where there was none.
    """

    history: History
    chosen_epoch: int
    seconds: float
    images_seen: int
    stage_starts: tuple[int, ...] = (1,)
    resumed_after: int = 0


def fit_model(model: Any, images: ImageSet, train: Train, name: str, checkpoint: Checkpoint | None = None) -> Fit:
    """Fit in place.

    Args:
        model: an unfitted Keras model or scikit-learn classifier of raw pixels.
        images: training and validation rows are used.
        train: the model's settings. With early stopping the weights of the lowest validation loss are kept, over all
            stages; without it the last.
        name: for the progress bar.
        checkpoint: of a network's training; what it holds is gone on with.

    Raises:
        DarkroomError: the loss became infinite or not a number.
    """
    if hasattr(model, "predict_proba"):
        return _fit_sklearn(model, images, name)
    return _fit_keras(model, images, train, name, checkpoint)


def _fit_keras(model: Any, images: ImageSet, train: Train, name: str, checkpoint: Checkpoint | None) -> Fit:
    """Stage after stage, on from the checkpoint. With early stopping a stage that makes it worse is undone."""
    stages, steps = stages_of(train), steps_per_epoch(images, train.batch_size)
    progress = _resumed(model, train, stages, checkpoint)
    resumed_after, begun = progress.epochs, len(progress.stage_starts)
    with bar(f"training {name}", steps * sum(stage.epochs for stage in stages)) as shown:
        if resumed_after:
            say(f"{name} goes on after epoch {resumed_after} of a training that was interrupted")
            shown.advance(steps * resumed_after)
        for number in range(max(begun - 1, 0), len(stages)):
            if number >= begun:
                _begin_stage(model, train, stages, number)
                progress.stage_starts.append(progress.epochs + 1)
            watch = Watch(model, progress, stages[number], steps, name, shown, checkpoint)
            _fit_stage(model, images, stages[number], progress, watch)
        shown.shrink_to_done()
    chosen = lowest(progress.history["val_loss"]) + 1 if train.early_stopping_patience else progress.epochs
    images_seen = progress.epochs * len(images.positions("train"))
    starts = tuple(progress.stage_starts)
    return Fit(progress.history, chosen, progress.seconds, images_seen, starts, resumed_after)


def _resumed(model: Any, train: Train, stages: list[Train], checkpoint: Checkpoint | None) -> Progress:
    """The progress of an interrupted training, whose state the model then has; else none."""
    saved = checkpoint.load() if checkpoint else None
    if saved is None:
        return Progress()
    progress, state = saved
    _begin_stage(model, train, stages, len(progress.stage_starts) - 1)
    return progress if restore(model, state) else Progress()


def _begin_stage(model: Any, train: Train, stages: list[Train], number: int) -> None:
    if train.stages:
        set_trainable(model, train.stages[number].trainable)
    compile_model(model, stages[number])


def _fit_stage(model: Any, images: ImageSet, stage: Train, progress: Progress, watch: Watch) -> None:
    """The epochs of the stage that are still to do; epochs count on from those before."""
    if not is_done(progress, stage):
        model.fit(
            training_data(model, images, stage, len(progress.stage_losses)),
            validation_data=validation_data(model, images),
            initial_epoch=progress.epochs,
            epochs=progress.stage_starts[-1] - 1 + stage.epochs,
            steps_per_epoch=steps_per_epoch(images, stage.batch_size),
            callbacks=[watch.as_callback()],
            class_weight=class_weights(images, stage),
            shuffle=False,  # the batches are shuffled already
            verbose=0,
        )
    if stage.early_stopping_patience:
        model.set_weights(progress.best_weights)


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
