"""A training that ends by the clock has as many epochs as fit into its time, the last of them perhaps a short one."""

from dataclasses import dataclass

from pipeline_config.experiment import Train
from tasks.train.steps import Steps, steps_of

TIMED = 8
"""Steps that tell, after a first one that traces the graph, how many there will be; every epoch tells it better."""


@dataclass(frozen=True)
class Budget:
    """Of one training.

    Attributes:
        train: its settings, with a time.
        images: to train with.
        seconds: for all of it.
    """

    train: Train
    images: int
    seconds: float

    def steps(self, done: int, seconds: float, step_seconds: float) -> Steps:
        """All steps of the training, those that are done included.

        Args:
            done: batches so far.
            seconds: so far.
            step_seconds: that a batch takes, its share of what an epoch costs once included.
        """
        fitting = max(self.seconds - seconds, 0.0) / step_seconds
        return steps_within(self.train, self.images, max(done + int(fitting), 1))


def steps_within(train: Train, images: int, batches: int) -> Steps:
    """So many batches, or those of `train.epochs` where they are fewer; the last epoch ends with the last batch.

    Args:
        train: settings; how many images an epoch has may hang on how many epochs there are.
        images: to train with.
        batches: at least 1.
    """
    for epochs in range(1, train.epochs + 1):
        steps = steps_of(train.model_copy(update={"epochs": epochs}), images)
        if steps.total >= batches:
            return _cut(steps, steps.total - batches, train.batch_size)
    return steps


def _cut(steps: Steps, batches: int, batch_size: int) -> Steps:
    """Without so many batches of the last epoch."""
    last = steps.batches[-1] - batches
    images = min(steps.images[-1], last * batch_size)
    return Steps((*steps.images[:-1], images), (*steps.batches[:-1], last))
