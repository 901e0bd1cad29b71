"""Space is asked for first, and a reserve is given up in need."""

import errno
import os
import shutil
from collections import namedtuple

import pytest

from pipeline_config.errors import DarkroomError
from tasks import disk

Usage = namedtuple("Usage", "total used free")
MEGABYTE = 2**20


@pytest.fixture
def free(monkeypatch):
    """`free(megabytes)`: from now on that much is free."""
    return lambda megabytes: monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, int(megabytes * MEGABYTE)))


def bytes_in(folder):
    return sum(file.stat().st_size for file in folder.rglob("*"))


def test_home_is_made_with_a_reserve_that_can_be_given_up(tmp_path):
    home = tmp_path / "new" / "home"
    disk.check_space(home)
    assert bytes_in(home) == 4 * MEGABYTE
    disk.give_up_reserve(home)
    assert bytes_in(home) == 0


def test_reserve_is_there_once_however_often_it_is_asked_for(tmp_path):
    disk.check_space(tmp_path)
    disk.check_space(tmp_path)
    assert bytes_in(tmp_path) == 4 * MEGABYTE


def test_giving_up_a_reserve_that_is_not_there_is_no_error(tmp_path):
    disk.give_up_reserve(tmp_path)
    disk.give_up_reserve(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_is_told_before_anything_is_written(tmp_path, free):
    free(63)
    with pytest.raises(DarkroomError) as caught:
        disk.check_space(tmp_path)
    assert str(caught.value).startswith(f"DARKROOM_HOME={tmp_path}: expected at least 64 MB free; 63 MB are free; ")
    assert "set it to another disk" in str(caught.value)
    assert bytes_in(tmp_path) == 0


def test_enough_space_is_enough(tmp_path, free):
    free(64)
    disk.check_space(tmp_path)
    assert bytes_in(tmp_path) == 4 * MEGABYTE


def test_own_reserve_counts_as_free(tmp_path, free):
    free(64)
    disk.check_space(tmp_path)
    free(60)
    disk.check_space(tmp_path)
    free(59)
    with pytest.raises(DarkroomError, match="expected at least 64 MB free"):
        disk.check_space(tmp_path)


@pytest.mark.parametrize("below", ["", "home"])
def test_home_that_cannot_be_made_is_told(tmp_path, below):
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(DarkroomError, match=r"cannot be written: .*; set it to another folder") as caught:
        disk.check_space(file / below)
    assert str(caught.value).startswith(f"DARKROOM_HOME={file / below}: ")


def chained(*errors, explicit):
    """The last error, raised from or while handling the one before it, and so on."""
    try:
        if len(errors) > 1:
            try:
                raise chained(*errors[:-1], explicit=explicit)
            except Exception as cause:
                if explicit:
                    raise errors[-1] from cause
                raise errors[-1]  # noqa: B904 - the implicit chain is what is tested
        raise errors[-1]
    except Exception as error:
        return error


FULL = [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
    RuntimeError("(sqlite3.OperationalError) database or disk is full"),
    RuntimeError("[Errno 28] No space left on device: 'x'"),
]


@pytest.mark.parametrize("error", FULL, ids=str)
def test_full_disk_is_recognised(error):
    assert disk.is_disk_full(error)


@pytest.mark.parametrize("explicit", [True, False], ids=["from", "while handling"])
@pytest.mark.parametrize("error", FULL, ids=str)
def test_full_disk_is_recognised_behind_what_it_caused(error, explicit):
    assert disk.is_disk_full(chained(error, ValueError("torn file"), KeyError("run"), explicit=explicit))


@pytest.mark.parametrize(
    "error", [None, OSError(errno.EACCES, "Permission denied"), ValueError("disk"), OSError()], ids=str
)
def test_other_errors_are_no_full_disk(error):
    assert not disk.is_disk_full(error)


def test_full_disk_is_told_with_what_is_free(tmp_path, free):
    free(1.4)
    sentence = disk.full_sentence(tmp_path, "the disk is full")
    assert sentence.startswith(f"DARKROOM_HOME={tmp_path}: the disk is full; 1 MB are free; ")
