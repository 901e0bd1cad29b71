"""What of the machine each of several trainings gets that run side by side: a slot has its threads and its GPUs."""

from collections.abc import Iterable, Sequence
from itertools import count

from pipeline_config.experiment import Compute, Execution
from tasks.train.compute.devices import seen_gpus
from tasks.train.compute.processor import this_processor


def share_of(compute: Compute, slots: int) -> Compute:
    """The cores shared out among the slots: two processes of one thread do more than one of two threads."""
    if compute.threads != "auto":
        return compute
    return compute.model_copy(update={"threads": max(1, this_processor().threads // slots)})


def gpus_to_place(execution: Execution) -> tuple[str, ...]:
    """The GPUs of this machine; none where a cluster, that was there before, has given its workers theirs."""
    return () if execution.address else seen_gpus()


def gpus_of(slot: int, slots: int, gpus: Sequence[str]) -> tuple[str, ...]:
    """Names of the GPUs for what is at work in a slot, for `CUDA_VISIBLE_DEVICES`.

    Where there are as many GPUs as slots, none is in two; else slots share one, as few as can be. No GPU is left idle.

    Args:
        slot: from 0.
        slots: that there are.
        gpus: names of all.
    """
    if not gpus:
        return ()
    return tuple(gpus[slot::slots]) if slots <= len(gpus) else (gpus[slot % len(gpus)],)


def free_slot(taken: Iterable[int]) -> int:
    """The lowest that is not taken."""
    used = set(taken)
    return next(slot for slot in count() if slot not in used)
