"""How many images and batches each epoch of a training has."""

from dataclasses import dataclass
from itertools import accumulate

from pipeline_config.experiment import Train
from tasks.train.easy_images import count_kept


@dataclass(frozen=True)
class Steps:
    """Of one stage of a training.

    Attributes:
        images: that each epoch trains on.
        batches: of each epoch.
    """

    images: tuple[int, ...]
    batches: tuple[int, ...]

    @property
    def total(self) -> int:
        """Batches of all epochs."""
        return sum(self.batches)

    def before(self, epoch: int) -> int:
        """Batches of the epochs before this one, from 0."""
        return (0, *accumulate(self.batches))[epoch]


def steps_of(train: Train, images: int) -> Steps:
    """The steps of a stage.

    Args:
        train: its settings.
        images: to train with.
    """
    kept = tuple(count_kept(train, images, epoch) for epoch in range(train.epochs))
    return Steps(kept, tuple(-(-count // train.batch_size) for count in kept))
