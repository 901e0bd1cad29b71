"""Images a second of a network's training under several policies, measured once for each machine and network."""

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_config.experiment import Model
from tasks.files import write_whole
from tasks.progress import bar
from tasks.train.compiling import compile_model
from tasks.train.compute.network import for_training
from tasks.train.compute.policy import Policy
from tasks.train.compute.processor import this_processor
from tasks.train.targets import random_batch

_STEPS = 5


def images_per_second(
    network: Any, model: Model, image_size: tuple[int, int], policies: Sequence[Policy], cache: Path
) -> list[float]:
    """Of each policy: as measured before on this machine, or else now, on random pixels.

    Args:
        network: a Keras model; its weights stay as they are.
        model: its section.
        image_size: height and width.
        policies: measured in turns, so that what else the machine does slows all of them alike.
        cache: existing folder; the rates are kept in `compute/` there.
    """
    path = cache / "compute" / f"{_key(network, model, image_size, policies)}.json"
    try:
        return [float(rate) for rate in json.loads(path.read_text())["images_per_second"]]
    except (OSError, ValueError, KeyError, TypeError):
        rates = _measure(network, model, image_size, policies)
    with write_whole(path) as temporary:
        told = {"family": model.family, "policies": [policy.settings for policy in policies]}
        temporary.write_text(json.dumps({**told, "images_per_second": rates}, indent=1))
    return rates


def _key(network: Any, model: Model, image_size: tuple[int, int], policies: Sequence[Policy]) -> str:
    """Of everything that a rate hangs on; not of learning rates and the like."""
    import tensorflow as tf

    shapes = [tuple(weight.shape) for weight in network.weights]
    of_network = (model.family, model.params, shapes, len(network.trainable_weights))
    of_steps = (image_size, model.train.batch_size, model.train.optimizer, [each.settings for each in policies])
    machine = (this_processor(), tf.__version__)
    return hashlib.sha256(repr((of_network, of_steps, machine)).encode()).hexdigest()[:32]


def _measure(network: Any, model: Model, image_size: tuple[int, int], policies: Sequence[Policy]) -> list[float]:
    """Medians; the first step of each, which traces its graph, is not counted."""
    pixels = np.random.default_rng(0).integers(0, 256, (model.train.batch_size, *image_size, 3), dtype=np.uint8)
    batch = random_batch(network, pixels)
    seconds: list[list[float]] = [[] for _ in policies]
    before = [np.asarray(variable) for variable in network.variables]  # the state of its dropout, too
    with bar(f"measuring {model.name}", (1 + _STEPS) * len(policies)) as shown:
        copies = [_compiled(network, model, policy) for policy in policies]
        for _ in range(1 + _STEPS):
            for copy, taken in zip(copies, seconds, strict=True):
                taken.append(_timed(copy, batch))
                shown.advance()
    for variable, value in zip(network.variables, before, strict=True):
        variable.assign(value)
    return [len(pixels) / float(np.median(taken[1:])) for taken in seconds]


def _compiled(network: Any, model: Model, policy: Policy) -> Any:
    copy = for_training(network, policy)
    compile_model(copy, model.train, jit=policy.jit)
    return copy


def _timed(network: Any, batch: tuple[Any, Any]) -> float:
    started = time.perf_counter()
    network.train_on_batch(*batch)
    return time.perf_counter() - started
