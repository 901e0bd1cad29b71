"""Which policy a network is trained with: by rule, and by a short measurement."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline_config.experiment import Compute, Model
from tasks.train.compute.devices import logical_gpus, parts_of_batch
from tasks.train.compute.policy import Policy
from tasks.train.compute.processor import this_processor
from tasks.train.compute.rates import images_per_second
from tasks.train.compute.small_maps import has_small_maps
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
    EfficientNet), and whether weight gradients are faster as convolutions on the processor: where it multiplies
    bfloat16 and the training is long, a few steps of each way are timed.

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
    is_long = training_operations(network, model.train, images) >= _WORTH_MEASURING
    policy = Policy(
        dtype="float32",
        fused_batch_normalization=_unless_set(compute.fused_batch_normalization, True) and devices == 1,
        jit=_unless_set(compute.jit, on_gpu) and devices == 1,  # XLA cannot compile a step that waits for others
        threads=_unless_set(compute.threads, processor.threads),
        devices=devices,
        convolved_gradients=_unless_set(compute.convolved_gradients, False),
    )
    dtypes, reason = _dtypes(compute, "" if on_gpu else processor.without_bfloat16, is_long)
    policies = [replace(policy, dtype=dtype) for dtype in dtypes]
    if is_long and not on_gpu and compute.convolved_gradients == "auto" and has_small_maps(network):
        policies += [replace(each, convolved_gradients=True) for each in policies if each.dtype == "bfloat16"]
    if len(policies) == 1:
        return policies[0], f"{policies[0].dtype}, {reason}"
    return _fastest(policies, images_per_second(network, model, image_size, policies, cache), reason)


def _dtypes(compute: Compute, without_bfloat16: str, is_long: bool) -> tuple[list[str], str]:
    """Those that come into question, and why it is one alone."""
    if compute.dtype != "auto":
        return [compute.dtype], "as execution.compute.dtype says"
    if without_bfloat16:
        return ["float32"], f"since {without_bfloat16}"
    if not is_long:
        return ["float32"], "since the training is too short to measure whether bfloat16 is faster"
    return ["float32", "bfloat16"], ""


def _fastest(policies: list[Policy], rates: list[float], reason: str) -> tuple[Policy, str]:
    """Of all ways; rounding has to pay."""
    rate_of = dict(zip(policies, rates, strict=True))
    exact = next((rate for policy, rate in rate_of.items() if policy.dtype == "float32"), None)
    rounded = max((policy for policy in policies if policy.dtype == "bfloat16"), key=rate_of.__getitem__)
    if exact:
        gain = rate_of[rounded] / exact
        reason = f"since bfloat16 trains {gain:.2f} times as fast ({rate_of[rounded]:.0f} images/s against {exact:.0f})"
        if gain <= _WORTH_ROUNDING:
            return policies[0], f"float32, {reason}"
    if not rounded.convolved_gradients:
        return rounded, f"bfloat16, {reason}"
    gain = rate_of[rounded] / rate_of[replace(rounded, convolved_gradients=False)]
    return rounded, f"bfloat16, {reason}; weight gradients as convolutions make it {gain:.2f} times as fast"


def _devices(network: Any, model: Model, images: int, gpus: int) -> int:
    """All, where every batch can be shared among them; one where a head is fitted on features, which takes seconds."""
    if is_frozen(network) or any(stage.trainable == "none" for stage in model.train.stages):
        return 1
    return parts_of_batch(model.train.batch_size, images, gpus)


def _unless_set(by_hand: Any, otherwise: Any) -> Any:
    return otherwise if by_hand == "auto" else by_hand
