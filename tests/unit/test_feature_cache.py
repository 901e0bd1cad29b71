"""Arrays that several trainings read: made once, whole or not at all, and given up when others need their place."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.train import feature_cache
from tasks.train.feature_cache import FeatureCache, write_batches

SHAPE = (4, 250)  # 4,000 bytes at the most, 2,000 as float16


def make_numbers(path, value=0.0):
    write_batches(path, SHAPE, np.float16, [np.full((2, 250), value)] * 2)


def use(cache, name, make=make_numbers):
    with cache.opened(name, SHAPE, make) as numbers:
        return np.array(numbers)


def refuse(_):
    raise AssertionError("it was made anew")


def names(cache):
    return {path.stem for path in cache.folder.glob("*.npy")}


def age(cache, *order):
    """As if the files had been used in this order, long ago."""
    for second, name in enumerate(order):
        os.utime(cache.folder / f"{name}.npy", (second, second))


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "features", 10**6)


# Made once


def test_array_is_made_once_and_then_read(cache):
    made = use(cache, "a", lambda path: make_numbers(path, 1.5))
    assert made.shape == SHAPE
    assert (made == 1.5).all()
    np.testing.assert_array_equal(use(cache, "a", refuse), made)


def test_two_that_want_the_same_at_once_make_it_once(cache):
    calls, both = [], Barrier(2)

    def want():
        both.wait()
        return use(cache, "a", lambda path: (calls.append(path), make_numbers(path, 2.0)))

    with ThreadPoolExecutor(2) as pool:
        first, second = (future.result() for future in [pool.submit(want), pool.submit(want)])
    assert len(calls) == 1
    np.testing.assert_array_equal(first, second)


def test_what_fails_leaves_nothing_behind(cache):
    def fail(path):
        path.write_bytes(b"half")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        use(cache, "a", fail)
    assert names(cache) == set()
    assert use(cache, "a").shape == SHAPE


def test_what_a_killed_process_had_begun_goes_when_the_same_is_made(cache):
    cache.folder.mkdir()
    (cache.folder / ".a-1234.npy").write_bytes(b"half")
    (cache.folder / ".b-1234.npy").write_bytes(b"another process is at it")
    use(cache, "a")
    assert {path.name for path in cache.folder.glob("*.npy")} == {"a.npy", ".b-1234.npy"}


# Given up


def test_the_least_recently_used_are_given_up_for_new_ones(tmp_path):
    cache = FeatureCache(tmp_path, 9_500)  # three files, and the most that a fourth may take
    for name in "abc":
        use(cache, name)
    age(cache, "a", "b", "c")
    use(cache, "a", refuse)  # now used last
    use(cache, "d")
    assert names(cache) == {"a", "c", "d"}


def test_what_is_read_now_is_never_given_up(tmp_path):
    cache = FeatureCache(tmp_path, 5_000)
    with ExitStack() as reading:
        numbers = reading.enter_context(cache.opened("a", SHAPE, make_numbers))
        use(cache, "b")
        age(cache, "a", "b")
        use(cache, "c")
        assert names(cache) == {"a", "c"}
        assert not numbers.any()
    age(cache, "a", "c")
    use(cache, "d")
    assert names(cache) == {"d"}


def test_a_disk_that_is_nearly_full_counts_as_the_bound(cache, monkeypatch):
    for name in "ab":
        use(cache, name)
    age(cache, "a", "b")
    free = 3_000  # of the 4,000 that are needed
    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    use(cache, "c")
    assert names(cache) == {"b", "c"}


def test_error_of_the_file_system_is_not_taken_for_a_file_in_use(cache, monkeypatch):
    use(cache, "a")
    small = FeatureCache(cache.folder, 4_000)

    def fail(_):
        raise OSError(30, "read-only file system")

    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(OSError, match="read-only"):
        use(small, "b")


# The file


@settings(max_examples=20)
@given(st.lists(st.integers(0, 5), max_size=6), st.sampled_from([np.float16, np.float32]))
def test_batches_follow_each_other_in_the_file(tmp_path_factory, sizes, dtype):
    whole = np.random.default_rng(0).random((sum(sizes), 2, 3))
    path = tmp_path_factory.getbasetemp() / "batches.npy"
    write_batches(path, whole.shape, dtype, np.split(whole, np.cumsum(sizes)))
    np.testing.assert_array_equal(np.load(path), whole.astype(dtype))
