"""What predictions cost."""

import time

import numpy as np
import pytest

from tasks.evaluate.cost import measure_cost

PIXELS = np.zeros((3, 4, 4, 3), np.uint8)


class Slow:
    """A classifier that takes a while for each image, once a longer while, and much memory once."""

    def __init__(self, milliseconds):
        self.milliseconds, self.batches = milliseconds, []

    def predict_proba(self, pixels):
        self.batches.append(len(pixels))
        deadline = time.perf_counter() + len(pixels) * self.milliseconds / 1_000
        while time.perf_counter() < deadline:
            pass
        if len(self.batches) == 2:
            np.ones(50_000_000, np.uint8).sum()
        return np.full((len(pixels), 2), 0.5)


@pytest.fixture(scope="module")
def measured():
    model = Slow(milliseconds=2)
    return model, measure_cost(model, PIXELS)


def test_time_is_that_of_an_image(measured):
    _, costs = measured
    for size in (1, 32):
        assert 2 <= costs[f"predict_ms_batch{size}"] <= costs[f"predict_ms_batch{size}_p95"]
    assert costs["predict_ms_batch32"] < 32


def test_batches_are_full_and_their_calls_bounded(measured):
    model, _ = measured
    assert set(model.batches) == {1, 32}
    assert 6 <= model.batches.count(1) <= 41
    assert 6 <= model.batches.count(32) <= 41
    assert model.batches.count(32) < model.batches.count(1)


def test_memory_is_that_of_these_calls_alone(measured):
    """What was held before does not count."""
    _, costs = measured
    before = np.ones(400_000_000, np.uint8)
    held = measure_cost(Slow(milliseconds=0), PIXELS)["peak_memory_bytes"]
    del before
    assert held > costs["peak_memory_bytes"] + 300_000_000
    assert measure_cost(Slow(milliseconds=0), PIXELS)["peak_memory_bytes"] < held - 300_000_000
