"""What a killed process was writing is removed, and nothing else."""

import tempfile

import pytest

from tasks.files import write_whole
from tasks.leftovers import remove_leftovers

KEPT = ("cache/pixels/0123.npy", "cache/tmpnotes.txt", "cache/.gitignore", "artifacts/.a-12345678.png", ".reserve")


@pytest.fixture
def full(home):
    for name in KEPT:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"kept")
    return home


def test_half_written_files_and_folders_are_removed_and_others_stay(full):
    with write_whole(full / "cache" / "pixels" / "0456.npy") as half:
        pass
    (full / "cache" / "pixels" / "0456.npy").rename(half)  # as kill -9 would have left it
    folder = tempfile.mkdtemp(dir=full / "cache")
    assert remove_leftovers() == 2
    assert not half.exists()
    assert folder not in {str(path) for path in (full / "cache").iterdir()}
    assert {str(path.relative_to(full)) for path in full.rglob("*") if path.is_file()} == set(KEPT)


def test_a_home_that_is_not_there_has_nothing_to_remove(home):
    assert remove_leftovers() == 0
    assert not home.exists()
