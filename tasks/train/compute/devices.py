"""Which GPUs a training uses, and how several share its batches.

Each GPU has a copy of the network and takes its part of every batch, and the gradients are averaged (tf.distribute's
MirroredStrategy), so that batches, statistics of batch normalisation and steps are those of one GPU. What differs is
that dropout draws the same for each part.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def seen_gpus() -> tuple[str, ...]:
    """CUDA's names of the GPUs that this process sees: those of `CUDA_VISIBLE_DEVICES`, else 0, 1 and so on."""
    import tensorflow as tf

    count = len(tf.config.list_physical_devices("GPU"))
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(named.split(",") if named else map(str, range(count)))[:count]


def use_gpus(gpus: Sequence[str]) -> None:
    """Tell CUDA, which listens once, before TensorFlow asks for devices in the process.

    Args:
        gpus: names as of `seen_gpus`; none leaves it as it is.
    """
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)


def logical_gpus() -> list[str]:
    """TensorFlow's names of the GPUs."""
    import tensorflow as tf

    return [device.name for device in tf.config.list_logical_devices("GPU")]


def parts_of_batch(batch_size: int, images: int, most: int) -> int:
    """Into how many equal parts a batch goes, so that no GPU is without images in an epoch's last, smaller one.

    Args:
        batch_size: of all batches but the last.
        images: of an epoch.
        most: GPUs that there are.
    """
    last = images % batch_size or batch_size

    def suits(parts: int) -> bool:
        return batch_size % parts == 0 and last >= parts

    return next(parts for parts in range(max(most, 1), 0, -1) if suits(parts))


@contextmanager
def mirrored(devices: int) -> Iterator[None]:
    """A network that is made in the block is trained on the first so many GPUs; on one it is an ordinary network."""
    if devices < 2:
        yield
        return
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(logical_gpus()[:devices]).scope():
        yield
