"""Files that are written whole or not at all."""

import os

import pytest

from tasks.files import write_whole


@pytest.fixture
def umask():
    """`umask(mask)` for this test alone."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("name", ["new.txt", "below/and/below/new.txt", "no_suffix", "späte Eule.tar.gz"])
def test_file_takes_its_place_when_the_block_ends(tmp_path, name):
    path = tmp_path / name
    with write_whole(path) as temporary:
        temporary.write_text("content", encoding="utf-8")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "content"
    assert list(path.parent.iterdir()) == [path]


def test_temporary_path_is_beside_the_file_with_its_suffix(tmp_path):
    with write_whole(tmp_path / "pixels.npy") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".npy"
        assert temporary.name.startswith(".")


def test_former_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_text("former")
    with write_whole(path) as temporary:
        temporary.write_text("latter")
        assert path.read_text() == "former"
    assert path.read_text() == "latter"


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("former", [None, "former"])
def test_failure_leaves_nothing_behind_and_the_former_file_alone(tmp_path, failure, former):
    path = tmp_path / "file"
    if former:
        path.write_text(former)

    def write_half():
        with write_whole(path) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(type(failure)):
        write_half()
    assert [file.read_text() for file in tmp_path.iterdir()] == ([former] if former else [])


def test_writer_that_replaces_the_temporary_file_is_fine(tmp_path):
    """As libraries do that write beside a file and move."""
    with write_whole(tmp_path / "file") as temporary:
        (tmp_path / "other").write_text("content")
        (tmp_path / "other").replace(temporary)
    assert (tmp_path / "file").read_text() == "content"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600), (0o000, 0o666)])
def test_permissions_follow_the_umask(tmp_path, umask, mask, mode):
    umask(mask)
    with write_whole(tmp_path / "file") as temporary:
        temporary.write_text("content")
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode
    assert umask(mask) == mask


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "file"
    with write_whole(path) as first, write_whole(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # whose block ends last
    assert list(tmp_path.iterdir()) == [path]
