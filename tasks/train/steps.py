"""How many batches a stage of a training has."""

from dataclasses import dataclass, replace

from pipeline_config.experiment import Train


@dataclass(frozen=True)
class Steps:
    """Of one stage; its last epoch may be a short one.

    Attributes:
        images: to train with.
        batch_size: of all batches but the last of an epoch.
        total: batches of the stage, at least 1.
    """

    images: int
    batch_size: int
    total: int

    @property
    def per_epoch(self) -> int:
        """Batches that hold every image once."""
        return -(-self.images // self.batch_size)

    @property
    def epochs(self) -> int:
        """How many there are, a short one included."""
        return -(-self.total // self.per_epoch)

    def before(self, epoch: int) -> int:
        """Batches of the epochs before this one, from 0."""
        return min(epoch * self.per_epoch, self.total)

    def of(self, epoch: int) -> int:
        """Batches of an epoch, from 0."""
        return self.before(epoch + 1) - self.before(epoch)

    def images_of(self, epoch: int) -> int:
        """Images of an epoch, from 0."""
        return min(self.of(epoch) * self.batch_size, self.images)

    def within(self, seconds: float, step_seconds: float, done: int, epochs: int) -> "Steps":
        """As many as fit into a time.

        Args:
            seconds: that are left.
            step_seconds: that a batch takes, its share of what an epoch costs once included.
            done: batches so far.
            epochs: that there are at most.
        """
        fitting = done + int(max(seconds, 0.0) / step_seconds)
        return replace(self, total=min(max(fitting, 1), epochs * self.per_epoch))


def steps_of(train: Train, images: int) -> Steps:
    """The steps of a stage that has all its epochs.

    Args:
        train: its settings.
        images: to train with.
    """
    steps = Steps(images, train.batch_size, total=1)
    return replace(steps, total=train.epochs * steps.per_epoch)
