"""Train a network on batches of pixels, by Keras's `fit`."""

from functools import partial
from typing import Any

from pipeline_config.experiment import Train
from tasks.input_pipeline import ImageSet, Positions, epoch_order
from tasks.train.checkpoint import Progress
from tasks.train.easy_images import Losses, draw_kept, unseen, watch_losses
from tasks.train.targets import class_weights, training_data, validation_data
from tasks.train.watching import Watch


def fit_on_pixels(model: Any, images: ImageSet, stage: Train, progress: Progress, watch: Watch) -> None:
    """The epochs of the stage that are still to do.

    Args:
        model: compiled for the stage.
        images: training and validation rows are used.
        stage: its settings.
        progress: of the whole training.
        watch: told of every step and epoch.

    Raises:
        DarkroomError: a loss became infinite or not a number.
        DataError: images have no box, and the model is to learn boxes.
    """
    if not (stage.skip_easy or watch.budget):
        _fit_epochs(model, images, stage, progress, watch, stage.epochs - len(progress.stage_losses))
        return
    last = watch_losses(model, stage.batch_size) if stage.skip_easy else None
    while not watch.is_done:  # epoch by epoch, since each hangs on those before
        kept = _kept(images, stage, progress, watch, last) if stage.skip_easy else None
        _fit_epochs(model, images, stage, progress, watch, 1, kept)


def _kept(images: ImageSet, stage: Train, progress: Progress, watch: Watch, last: Any) -> Positions:
    """Which training images the coming epoch has; their losses will be noted."""
    if not progress.losses:
        progress.losses = [unseen(len(images.positions("train")))]
    (losses,), epoch = progress.losses, len(progress.stage_losses)
    kept = draw_kept(losses, watch.steps.images[epoch], stage.seed, epoch)
    watch.after_step = partial(_note, losses, epoch_order(kept, stage.seed, epoch), stage.batch_size, last)
    return kept


def _note(losses: Losses, order: Positions, batch_size: int, last: Any, batch: int) -> None:
    """Put the losses of a batch in their places."""
    in_batch = order[batch * batch_size : (batch + 1) * batch_size]
    losses[in_batch] = last.numpy()[: len(in_batch)]


def _fit_epochs(
    model: Any,
    images: ImageSet,
    stage: Train,
    progress: Progress,
    watch: Watch,
    count: int,
    kept: Positions | None = None,
) -> None:
    """So many epochs more, or fewer where early stopping ends them, of equally many batches."""
    epoch = len(progress.stage_losses)
    model.fit(
        training_data(model, images, stage, epoch, kept),
        validation_data=validation_data(model, images),
        initial_epoch=progress.epochs,
        epochs=progress.epochs + count,
        steps_per_epoch=watch.steps.batches[epoch],
        callbacks=[watch.as_callback()],
        class_weight=class_weights(images, stage),
        shuffle=False,  # the batches are shuffled already
        verbose=0,
    )
