"""What happens between the steps and epochs of a training of a network: one Keras callback."""

import math
import time
from typing import Any

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Train
from tasks.progress import Bar
from tasks.train.checkpoint import Checkpoint, Progress
from tasks.train.compiling import named
from tasks.train.schedules import learning_rate


def is_done(progress: Progress, stage: Train) -> bool:
    """Whether the stage that was begun last has had its epochs, or early stopping ends it."""
    losses, patience = progress.stage_losses, stage.early_stopping_patience
    stopped = patience is not None and len(losses) - 1 - lowest(losses) >= patience
    return len(losses) >= stage.epochs or stopped


def lowest(losses: list[float]) -> int:
    """Position of the lowest, the first among equals; -1 where there is none."""
    return min(range(len(losses)), key=losses.__getitem__, default=-1)


def watch(progress: Progress, stage: Train, steps: int, name: str, shown: Bar, checkpoint: Checkpoint | None) -> Any:
    """A callback for one stage: learning rate, progress bar, a lost loss, best weights, early stopping, checkpoint.

    Args:
        progress: of the whole training; gets every epoch that ends.
        stage: its settings.
        steps: batches of an epoch.
        name: of the model.
        shown: the bar, moved by every step.
        checkpoint: written after every epoch, or None.
    """
    import keras

    class Watch(keras.callbacks.Callback):  # type: ignore[misc] # keras has no types
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            self.first_step = (epoch - progress.stage_starts[-1] + 1) * steps
            self.started = time.perf_counter()

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            rate = learning_rate(stage, self.first_step + batch, steps, progress.stage_losses)
            if rate != getattr(self, "rate", None):
                self.model.optimizer.learning_rate = self.rate = rate

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            shown.advance()
            _check_finite(name, "training", (logs or {}).get("loss", 0.0), f"step {batch + 1} of an epoch")

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            logs = named(logs or {})
            _check_finite(name, "validation", logs["val_loss"], f"the end of epoch {epoch + 1}")
            for metric, value in {**logs, "learning_rate": self.rate}.items():
                progress.history.setdefault(metric, []).append(float(value))
            progress.seconds += time.perf_counter() - self.started
            if stage.early_stopping_patience and lowest(progress.history["val_loss"]) == epoch:
                progress.best_weights = self.model.get_weights()
            if checkpoint:
                checkpoint.save(progress, self.model)
            shown.note(_told(epoch + 1, len(progress.stage_starts), logs))
            self.model.stop_training = is_done(progress, stage)

    return Watch()


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
