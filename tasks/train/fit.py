"""Fit a model on the training images, watch the validation images, never see the test images."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Train
from tasks import predictions
from tasks.input_pipeline import ImageSet
from tasks.prediction import predict_split
from tasks.progress import bar, say
from tasks.train.checkpoint import Checkpoint, History, Progress, restore
from tasks.train.compiling import compile_model
from tasks.train.feature_cache import FeatureCache
from tasks.train.features import Parts, bytes_of_features, is_frozen, open_features, split_network
from tasks.train.freezing import set_trainable
from tasks.train.head_fit import fit_head
from tasks.train.lookahead import Lookahead
from tasks.train.steps import Steps, steps_of
from tasks.train.targets import class_weights, training_data, validation_data
from tasks.train.watching import Report, Watch, lowest


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


@dataclass(frozen=True)
class _Trainee:
    """What a stage fits of a network.

    Attributes:
        model: compiled for the stage: the network, or its head, which is then fitted on features.
        parts: of the network, where the head is fitted.
        kept: whose weights the best weights and a checkpoint are: the head's as long as no stage changed the backbone.
    """

    model: Any
    parts: Parts | None
    kept: Any


def fit_model(
    model: Any,
    images: ImageSet,
    train: Train,
    name: str,
    checkpoint: Checkpoint | None = None,
    features: FeatureCache | None = None,
    *,
    jit: bool = False,
    report: Report | None = None,
) -> Fit:
    """Fit in place.

    Args:
        model: an unfitted Keras model or scikit-learn classifier of raw pixels.
        images: training and validation rows are used.
        train: the model's settings. With early stopping the weights of the lowest validation loss are kept, over all
            stages; without it the last.
        name: for the progress bar.
        checkpoint: of a network's training; what it holds is gone on with.
        features: where a stage with a frozen backbone and no augmentation, or `augmented_copies` of it, finds what the
            backbone makes of the images, or leaves it; null passes the images through the backbone in every epoch.
        jit: networks are compiled by XLA.
        report: told of every epoch of a network.

    Raises:
        ConfigurationError: `augmented_copies` are asked for, and no stage has a frozen backbone.
        DarkroomError: the loss became infinite or not a number.
    """
    if hasattr(model, "predict_proba"):
        return _fit_sklearn(model, images, name)
    _check_copies(model, train, name)
    return _Training(model, images, train, name, checkpoint, features, jit, report).fit()


def compute_features(model: Any, images: ImageSet, train: Train, name: str, features: FeatureCache) -> None:
    """Put what the first stage of a training would find in the cache there; nothing where its backbone is not frozen.

    Args:
        model, images, train, name, features: as of `fit_model`.
    """
    training = _Training(model, images, train, name, None, features, jit=False, report=None)
    stage = stages_of(train)[0]
    parts = training.begin_stage([stage], 0).parts
    if parts:
        with ExitStack() as reading:
            open_features(parts, images, stage, features, name, reading)


@dataclass(frozen=True)
class _Training:
    """Of a network, as `fit_model` is given it."""

    network: Any
    images: ImageSet
    train: Train
    name: str
    checkpoint: Checkpoint | None
    features: FeatureCache | None
    jit: bool
    report: Report | None

    def fit(self) -> Fit:
        """Stage after stage, on from the checkpoint. With early stopping a stage that makes it worse is undone."""
        train, stages = self.train, stages_of(self.train)
        steps = [steps_of(stage, len(self.images.positions("train"))) for stage in stages]
        progress, trainee = self._resumed(stages)
        resumed_after, begun = progress.epochs, len(progress.stage_starts)
        with bar(f"training {self.name}", sum(each.total for each in steps)) as shown:
            if resumed_after:
                say(f"{self.name} goes on after epoch {resumed_after} of an earlier training")
                shown.advance(_batches_done(steps, progress))
            for number in range(max(begun - 1, 0), len(stages)):
                if number >= begun:
                    trainee = self.begin_stage(stages, number)
                    _begin(progress, trainee)
                assert trainee is not None
                about = (progress, stages[number], steps[number], self.name, shown, self.checkpoint, self.report)
                average = Lookahead(trainee.model) if stages[number].lookahead else None
                watch = Watch(trainee.model, trainee.kept, *about, average)
                self._fit_stage(trainee, stages[number], progress, watch)
            shown.shrink_to_done()
        chosen = lowest(progress.history["val_loss"]) + 1 if train.early_stopping_patience else progress.epochs
        starts = tuple(progress.stage_starts)
        return Fit(progress.history, chosen, progress.seconds, progress.images_seen, starts, resumed_after)

    def _resumed(self, stages: list[Train]) -> tuple[Progress, _Trainee | None]:
        """The progress of an interrupted training, and what its stage fits in the state that it had; else neither."""
        saved = self.checkpoint.load() if self.checkpoint else None
        if saved is None:
            return Progress(), None
        progress, state = saved
        trainee = self.begin_stage(stages, len(progress.stage_starts) - 1)
        return (progress, trainee) if restore(trainee.kept, state) else (Progress(), None)

    def begin_stage(self, stages: list[Train], number: int) -> _Trainee:
        """The network, or its head, made ready for the stage."""
        network, stage = self.network, stages[number]
        if self.train.stages:
            set_trainable(network, self.train.stages[number].trainable)
        parts = self._parts(stage)
        model = parts.head if parts else network
        compile_model(model, stage, jit=self.jit)
        was_tuned = any(before.trainable != "none" for before in self.train.stages[:number])
        if parts and was_tuned:
            network.optimizer = model.optimizer  # kept with its weights
        return _Trainee(model, parts, network if was_tuned else model)

    def _parts(self, stage: Train) -> Parts | None:
        """Of the network, where the stage is fitted on features; else why it is not."""
        if self.features is None or not is_frozen(self.network):
            return None
        if stage.lookahead:
            say(
                f"{self.name}: the backbone is frozen, but with train.lookahead the images go through it in every "
                "epoch; without it each would once"
            )
            return None
        if stage.augmentation and not stage.augmented_copies:
            say(_cost_of_augmentation(self.name, stage, len(self.images.positions("train"))))
            return None
        parts = split_network(self.network)
        needed = bytes_of_features(parts, self.images, stage)
        if needed > self.features.max_bytes:
            say(
                f"{self.name}: its backbone is frozen, but what it makes of the images may take {needed / 1e9:.1f} GB; "
                f"DARKROOM_FEATURE_CACHE_GB allows {self.features.max_bytes / 1e9:g}: the images go through the "
                "backbone in every epoch"
            )
            return None
        return parts

    def _fit_stage(self, trainee: _Trainee, stage: Train, progress: Progress, watch: Watch) -> None:
        """The epochs of the stage that are still to do; epochs count on from those before."""
        if not watch.is_done:
            if trainee.parts and self.features:
                with ExitStack() as reading:
                    opened = open_features(trainee.parts, self.images, stage, self.features, self.name, reading)
                    fit_head(trainee.model, opened, self.images, stage, progress, watch)
            else:
                _fit_on_pixels(trainee.model, self.images, stage, progress, watch)
        if stage.early_stopping_patience:
            trainee.kept.set_weights(progress.best_weights)


def _begin(progress: Progress, trainee: _Trainee) -> None:
    """Note that a stage begins, with the best weights of those before, which the network has now, as its own."""
    progress.stage_starts.append(progress.epochs + 1)
    if progress.best_weights:
        progress.best_weights = trainee.kept.get_weights()


def _batches_done(steps: list[Steps], progress: Progress) -> int:
    """Of the epochs that are finished, of all stages."""
    starts = progress.stage_starts
    ends = [*starts[1:], progress.epochs + 1]
    return sum(each.before(end - start) for each, start, end in zip(steps, starts, ends, strict=False))


def _fit_on_pixels(model: Any, images: ImageSet, stage: Train, progress: Progress, watch: Watch) -> None:
    model.fit(
        training_data(model, images, stage, len(progress.stage_losses)),
        validation_data=validation_data(model, images),
        initial_epoch=progress.epochs,
        epochs=progress.stage_starts[-1] - 1 + stage.epochs,
        steps_per_epoch=watch.steps.per_epoch,
        callbacks=[watch.as_callback()],
        class_weight=class_weights(images, stage),
        shuffle=False,  # the batches are shuffled already
        verbose=0,
    )


def _check_copies(network: Any, train: Train, name: str) -> None:
    """Copies of images are for what is computed once of each: the features of a frozen backbone."""
    stages = [stage.trainable for stage in train.stages]
    if train.augmented_copies and "none" not in stages and (stages or not is_frozen(network)):
        raise ConfigurationError(
            f"models.{name}.train.augmented_copies: expected none, since no stage of this training has a frozen "
            f"backbone, whose features of the copies would be computed once; received {train.augmented_copies}; "
            "take it away, or freeze the backbone with trainable: none"
        )


def _cost_of_augmentation(name: str, stage: Train, images: int) -> str:
    return (
        f"{name}: the backbone is frozen, but augmentation changes the images anew in every epoch: {stage.epochs} × "
        f"{images:,} images go through the backbone; without augmentation each would once; with "
        f"train.augmented_copies=K so would K changed copies of each, and epochs take one copy after the other"
    )


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
        model.fit(images.read(positions), images.labels[positions])
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
