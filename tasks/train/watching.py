"""What happens between the steps and epochs of a training of a network."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Train
from tasks.interrupts import raise_lost_interrupt
from tasks.progress import Bar, say
from tasks.train.checkpoint import Checkpoint, Progress
from tasks.train.compiling import named
from tasks.train.lookahead import Lookahead
from tasks.train.schedules import learning_rate
from tasks.train.steps import Steps

Report = Callable[[Progress], None]
"""Told of the progress after every epoch, by a training that others decide about; may raise to end it."""

_TIMED = 8
"""Steps that tell, after a first one that traces the graph, how many there will be; every epoch tells it better."""

_SECONDS_APART = 2.0
"""Between checkpoints of epochs that take less than it takes to write one: no more than this is lost."""


def lowest(losses: list[float]) -> int:
    """Position of the lowest, the first among equals; -1 where there is none."""
    return min(range(len(losses)), key=losses.__getitem__, default=-1)


@dataclass
class Watch:
    """One stage of a training: learning rate, progress bar, a lost loss, best weights, early stopping, checkpoint.

    Attributes:
        model: compiled for the stage.
        kept: whose weights the best weights and the checkpoint are: the model, or one that it is part of.
        progress: of the whole training; gets every epoch that ends.
        stage: its settings.
        steps: of the stage; with a time_budget, as planned so far.
        name: of the model.
        shown: the bar, moved by every step.
        checkpoint: written after every epoch, or None; of epochs of one piece, which are short, not after each, but
            after the last.
        report: told of every epoch, or None.
        lookahead: the weights' slow average, or None.
        rate: learning rate of the last step.
        started: when the epoch began.
        written: when the checkpoint was.
        timed_from: when the first step ended.
    """

    model: Any
    kept: Any
    progress: Progress
    stage: Train
    steps: Steps
    name: str
    shown: Bar
    checkpoint: Checkpoint | None
    report: Report | None = None
    lookahead: Lookahead | None = None
    rate: float = math.nan
    started: float = math.nan
    written: float = -math.inf
    timed_from: float = math.nan

    def __post_init__(self) -> None:
        """The first epoch begins; where a training that was interrupted goes on, its time tells how many follow."""
        self.started = time.perf_counter()
        if self.progress.stage_losses:
            self._plan(self.progress.seconds / self._steps_done(0))

    @property
    def is_done(self) -> bool:
        """Whether the stage has had its epochs, or early stopping ends it."""
        losses, patience = self.progress.stage_losses, self.stage.early_stopping_patience
        stopped = patience is not None and len(losses) - 1 - lowest(losses) >= patience
        return len(losses) >= self.steps.epochs or stopped

    def as_callback(self) -> Any:
        """For Keras, which hands on the logs of a batch by their name."""
        import keras

        return keras.callbacks.LambdaCallback(
            on_train_batch_begin=lambda batch, **_: self._begin_step(batch),
            on_train_batch_end=lambda batch, logs: self._end_step(batch, logs["loss"]),
            on_epoch_end=lambda _, logs: self._end_epoch(named(logs)),
        )

    def rates_of_epoch(self) -> list[float]:
        """The learning rate of every step of the coming epoch."""
        return [self._rate(batch) for batch in range(self._batches)]

    def end_epoch_of_one_piece(self, logs: dict[str, float]) -> None:
        """The same for an epoch that ran without callbacks.

        Args:
            logs: loss and metrics by Keras's names, those of validation with `val_`.

        Raises:
            DarkroomError: a loss became infinite or not a number.
        """
        self.rate = self._rate(self._batches - 1)
        self.shown.advance(self._batches)
        _check_finite(self.name, "training", logs["loss"], f"a step of epoch {self.progress.epochs + 1}")
        self._end_epoch(named(logs), seconds_apart=_SECONDS_APART)

    def _rate(self, batch: int) -> float:
        return learning_rate(self.stage, self._steps_done(batch), self.steps, self.progress.stage_losses)

    def _steps_done(self, batch: int) -> int:
        """Of the stage, before this batch of the coming epoch."""
        return self.steps.before(len(self.progress.stage_losses)) + batch

    @property
    def _batches(self) -> int:
        """Of the coming epoch."""
        return self.steps.of(len(self.progress.stage_losses))

    def _begin_step(self, batch: int) -> None:
        rate = self._rate(batch)
        if rate != self.rate:
            self.model.optimizer.learning_rate = self.rate = rate

    def _end_step(self, batch: int, loss: float) -> None:
        self.shown.advance()
        raise_lost_interrupt()
        if self.lookahead:
            self.lookahead.after_step(self._steps_done(batch) / self.steps.total, batch == self._batches - 1)
        _check_finite(self.name, "training", loss, f"step {batch + 1} of an epoch")
        if self.stage.time_budget:
            self._keep_time(batch)

    def _keep_time(self, batch: int) -> None:
        """Plan after some steps of the first epoch; end the last one where it is a short one."""
        if batch == 0:
            self.timed_from = time.perf_counter()
        if batch == _TIMED and not self.progress.stage_losses:
            self._plan((time.perf_counter() - self.timed_from) / _TIMED)
            say(f"{self.name}: {self.steps.total / self.steps.per_epoch:.1f} epochs fit into its time_budget")
        if self._batches <= batch + 1 < self.steps.per_epoch:
            self.model.stop_training = True  # Keras then ends the epoch as any other

    def _plan(self, step_seconds: float) -> None:
        """Lay the stage over what is left of its time, if that is limited."""
        if not self.stage.time_budget:
            return
        seconds = self.progress.seconds + time.perf_counter() - self.started
        left, done = self.stage.time_budget - seconds, self._steps_done(0)
        self.steps = self.steps.within(left, step_seconds, done, self.stage.epochs)
        self.shown.expect(self.steps.total)

    def _end_epoch(self, logs: dict[str, float], seconds_apart: float = 0.0) -> None:
        progress, epoch = self.progress, self.progress.epochs
        batches, images = self._batches, self.steps.images_of(len(progress.stage_losses))
        _check_finite(self.name, "validation", logs["val_loss"], f"the end of epoch {epoch + 1}")
        for metric, value in {**logs, "learning_rate": self.rate}.items():
            progress.history.setdefault(metric, []).append(float(value))
        taken = time.perf_counter() - self.started
        progress.seconds += taken
        progress.images_seen += images
        self.started = time.perf_counter()
        if self.stage.early_stopping_patience and lowest(progress.history["val_loss"]) == epoch:
            progress.best_weights = self.kept.get_weights()
        self._plan(taken / batches)
        is_last = self.is_done
        if self.checkpoint and (is_last or time.perf_counter() - self.written >= seconds_apart):
            self.checkpoint.save(progress, self.kept)
            self.written = time.perf_counter()
        self.shown.note(_told(epoch + 1, len(progress.stage_starts), logs))
        self.model.stop_training = is_last
        if self.report:
            self._tell(self.report)
        raise_lost_interrupt()  # for epochs of one piece, which have no steps to end

    def _tell(self, report: Report) -> None:
        """The seconds that it takes are none of the fitting."""
        began = time.perf_counter()
        report(self.progress)
        self.started += time.perf_counter() - began


def _told(epoch: int, stage: int, logs: dict[str, float]) -> str:
    figures = ", ".join(f"{metric} {logs[metric]:.3f}" for metric in _SHOWN if metric in logs)
    return f"{f'stage {stage}, ' if stage > 1 else ''}epoch {epoch}: {figures}"


_SHOWN = ("val_loss", "val_accuracy", "val_mean_iou")


def _check_finite(name: str, which: str, loss: float, when: str) -> None:
    if not math.isfinite(loss):
        raise DarkroomError(
            f"models.{name}: the {which} loss became {loss} at {when}; expected a finite number; "
            "a lower train.learning_rate is the usual mend"
        )
