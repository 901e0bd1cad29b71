"""What predictions cost: time an image, one by one and in batches, and memory."""

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.prediction import predict_heads

BATCH_SIZES = (1, 32)
_CALLS = 40
_FEWEST_CALLS = 5
_SECONDS = 1.0  # for the calls of one batch size, where the fewest do not take longer
_RESET_PEAK = "5"  # proc(5), /proc/PID/clear_refs


def measure_cost(model: Any, pixels: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Time calls of the loaded model, as somebody who serves it would call it.

    Args:
        model: a Keras model or a scikit-learn classifier that takes raw pixels.
        pixels: `(n, height, width, 3)` raw, at least one; taken again and again where they are too few for a batch.

    Returns:
        `predict_ms_batch1` and `predict_ms_batch32`: milliseconds an image, the median over up to 40 calls, and with
        `_p95` behind it the 95th percentile. `peak_memory_bytes`: the most that the whole process, its libraries
        included, held meanwhile; only where the system tells it, which is Linux.
    """
    knows_peak = _reset_peak()
    costs: dict[str, float] = {}
    for size in BATCH_SIZES:
        milliseconds = 1_000 * _seconds(model, np.resize(pixels, (size, *pixels.shape[1:]))) / size
        costs[f"predict_ms_batch{size}"] = float(np.median(milliseconds))
        costs[f"predict_ms_batch{size}_p95"] = float(np.percentile(milliseconds, 95))
    return costs | ({"peak_memory_bytes": float(_peak())} if knows_peak else {})


def _seconds(model: Any, batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """`(calls,)` of each call but the first, in which TensorFlow traces the network."""
    predict_heads(model, batch)
    taken: list[float] = []
    while len(taken) < _FEWEST_CALLS or (len(taken) < _CALLS and sum(taken) < _SECONDS):
        started = time.perf_counter()
        predict_heads(model, batch)
        taken.append(time.perf_counter() - started)
    return np.array(taken)


def _reset_peak() -> bool:
    """Forget what the process once held; whether that can be done."""
    try:
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def _peak() -> int:
    """Bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024
