"""Which policy a network is trained with: by rule, and by a short measurement."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline_config.experiment import Compute, Model
from tasks.train.compute.devices import logical_gpus, parts_of_batch
from tasks.train.compute.policy import Policy
from tasks.train.compute.processor import this_processor
from tasks.train.compute.rates import images_per_second
from tasks.train.compute.work import training_operations
from tasks.train.features import is_frozen

# 20 TFLOP are some 50 s of two cores in float32. A measurement takes about 10 s, which less work would not bring back.
_WORTH_MEASURING = 2e13
_WORTH_ROUNDING = 1.1  # times as fast as float32 bfloat16 must be


def choose_policy(
    network: Any, model: Model, image_size: tuple[int, int], images: int, compute: Compute, cache: Path
) -> tuple[Policy, str]:
    """The fastest policy for a network on this machine, what is set by hand as it is set; and a sentence why.

    Convolutions compiled by XLA are faster on a GPU and slower on a processor (0.72 times the speed); fused kernels are
    never slower. Whether bfloat16 is faster hangs on the network (1.4 to 2 times for plain convolutions, 0.6 for
    EfficientNet): where the processor multiplies it and the training is long, a few steps of both are timed.

    Args:
        network: a Keras model as its first stage finds it.
        model: its section.
        image_size: height and width.
        images: to train with.
        compute: what is set by hand.
        cache: existing folder, where rates measured before are kept.
    """
    processor, gpus = this_processor(), logical_gpus()
    on_gpu, devices = bool(gpus), _devices(network, model, images, len(gpus))
    policy = Policy(
        dtype="float32",
        fused_batch_normalization=_unless_set(compute.fused_batch_normalization, True) and devices == 1,
        jit=_unless_set(compute.jit, on_gpu) and devices == 1,  # XLA cannot compile a step that waits for others
        threads=_unless_set(compute.threads, processor.threads),
        devices=devices,
    )
    if compute.dtype != "auto":
        return replace(policy, dtype=compute.dtype), f"{compute.dtype}, as execution.compute.dtype says"
    if not on_gpu and processor.without_bfloat16:
        return policy, f"float32, since {processor.without_bfloat16}"
    if training_operations(network, model.train, images) < _WORTH_MEASURING:
        return policy, "float32, since the training is too short to measure whether bfloat16 is faster"
    policies = [policy, replace(policy, dtype="bfloat16")]
    return _faster(policies, images_per_second(network, model, image_size, policies, cache))


def _faster(policies: list[Policy], rates: list[float]) -> tuple[Policy, str]:
    """Of float32 and bfloat16; rounding has to pay."""
    exact, rounded = rates
    measured = f"bfloat16 trains {rounded / exact:.2f} times as fast ({rounded:.0f} images/s against {exact:.0f})"
    chosen = policies[rounded > _WORTH_ROUNDING * exact]
    return chosen, f"{chosen.dtype}, since {measured}"


def _devices(network: Any, model: Model, images: int, gpus: int) -> int:
    """All, where every batch can be shared among them; one where a head is fitted on features, which takes seconds."""
    if is_frozen(network) or any(stage.trainable == "none" for stage in model.train.stages):
        return 1
    return parts_of_batch(model.train.batch_size, images, gpus)


def _unless_set(by_hand: Any, otherwise: Any) -> Any:
    return otherwise if by_hand == "auto" else by_hand
