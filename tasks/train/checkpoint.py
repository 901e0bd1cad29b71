"""A training that is interrupted, even by kill -9, goes on from its last finished epoch.

Keras's BackupAndRestore keeps weights and optimizer alone; early stopping, schedules and the curves would begin anew.
Here everything that these follow from is kept: the history of the epochs. The file is replaced after every epoch, and
where an epoch takes a fraction of a second, every other second.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Model
from tasks.files import write_whole

History = dict[str, list[float]]
"""Metric -> one value an epoch: train_loss, train_accuracy, val_loss, val_accuracy and the like."""

Arrays = list[npt.NDArray[Any]]


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        history: of the finished epochs of all stages.
        stage_starts: first epoch, from 1, of every stage that was begun.
        seconds: of fitting so far.
        images_seen: training images so far, counted once for each time they were used.
        best_weights: of the lowest validation loss of all epochs; empty where the last weights are to be kept.
    """

    history: History = field(default_factory=dict)
    stage_starts: list[int] = field(default_factory=list)
    seconds: float = 0.0
    images_seen: int = 0
    best_weights: Arrays = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Finished epochs."""
        return len(self.history.get("val_loss", []))

    @property
    def stage_losses(self) -> list[float]:
        """Validation losses of the finished epochs of the stage that was begun last."""
        return self.history.get("val_loss", [])[self.stage_starts[-1] - 1 :]


@dataclass(frozen=True)
class Checkpoint:
    """The file of one training.

    Attributes:
        path: `.npz` without pickled objects.
    """

    path: Path

    def save(self, progress: Progress, model: Any) -> None:
        """Write the progress, the model's variables and its optimizer's, whole or not at all."""
        about = {key: value for key, value in asdict(progress).items() if key != "best_weights"}
        state = [np.asarray(variable) for variable in _variables(model)]
        arrays = {**_numbered("state", state), **_numbered("best", progress.best_weights)}
        with write_whole(self.path) as temporary:
            np.savez(temporary, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)

    def load(self) -> tuple[Progress, Arrays] | None:
        """Progress and variables of the last finished epoch; None where there is none, or none that can be read."""
        try:
            with np.load(self.path, allow_pickle=False) as saved:
                about = json.loads(str(saved["about"]))
                return Progress(**about, best_weights=_collected("best", saved)), _collected("state", saved)
        except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile):
            return None

    def remove(self) -> None:
        """The training's result is safe elsewhere, or worthless."""
        self.path.unlink(missing_ok=True)


def restore(model: Any, state: Arrays) -> bool:
    """Put saved variables into a compiled model and its optimizer; false, with nothing changed, if they do not fit."""
    variables = _variables(model)
    if [tuple(variable.shape) for variable in variables] != [array.shape for array in state]:
        return False
    for variable, array in zip(variables, state, strict=True):
        variable.assign(array)
    return True


def _variables(model: Any) -> list[Any]:
    """Weights, states of random layers, and the optimizer's moments."""
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


@contextmanager
def open_checkpoint(
    folder: Path, model: Model, *data: object, begin_with: Path | None = None
) -> Iterator[Checkpoint | None]:
    """The checkpoint of a training, for the block that fits and logs it; None while another process is at the same.

    It is removed when the block ends well, or with a DarkroomError, which the same training would end with again.

    Args:
        folder: of all checkpoints; made if need be.
        model: the whole section.
        data: digest of the images, their size and the like, as plain values.
        begin_with: file of a training whose state takes the place of a checkpoint that is not there.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(repr((model.model_dump_json(), data)).encode()).hexdigest()[:32]
    lock = FileLock(folder / f"{name}.lock")  # the kernel frees it when the process ends, however it ends
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield None
        return
    checkpoint = Checkpoint(folder / f"{name}.npz")
    if begin_with and begin_with.exists() and not checkpoint.path.exists():
        with write_whole(checkpoint.path) as temporary:
            shutil.copyfile(begin_with, temporary)
    try:
        yield from _removed_at_the_end(checkpoint)
    finally:
        lock.release()


def _removed_at_the_end(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    try:
        yield checkpoint
    except DarkroomError:
        checkpoint.remove()
        raise
    checkpoint.remove()


def _numbered(name: str, arrays: Sequence[npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    return {f"{name}{number}": array for number, array in enumerate(arrays)}


def _collected(name: str, saved: Any) -> Arrays:
    return [saved[f"{name}{number}"] for number in range(sum(key.startswith(name) for key in saved.files))]
