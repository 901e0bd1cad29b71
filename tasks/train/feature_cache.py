"""Arrays on disk that several trainings read: each made once, the least recently used given up for new ones."""

import errno
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tasks.files import write_whole
from tasks.progress import say

MAX_BYTES_OF_NUMBER = 4

Batches = Iterable[npt.NDArray[Any]]
Mapped = np.memmap[Any, Any]


@dataclass(frozen=True)
class FeatureCache:
    """A folder of `.npy` files, each named by the digest of what it was made from.

    What is read is locked for as long, so that no other process gives it up; the kernel ends a lock with its process.

    Attributes:
        folder: made if need be.
        max_bytes: of all files together; exceeded only while files that are read now are larger.
    """

    folder: Path
    max_bytes: int

    @contextmanager
    def opened(self, name: str, shape: tuple[int, ...], make: Callable[[Path], None]) -> Iterator[Mapped]:
        """The array of that name, memory-mapped and read-only, for the block; made first if it is not there.

        A second process that wants it waits for the first, which makes it.

        Args:
            name: digest of what the array is made from.
            shape: of the array.
            make: writes the `.npy` file, of float16 or float32, to the path that it is given.

        Raises:
            OSError: the disk is full, or cannot be written.
        """
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.npy"
        with ExitStack() as reading:
            with FileLock(path.with_suffix(".lock")):
                if not self._is_taken(path, reading):
                    self._remove_leftovers(name)
                    self._make_room(MAX_BYTES_OF_NUMBER * math.prod(shape))
                    with write_whole(path) as temporary:
                        make(temporary)
                    self._is_taken(path, reading)
            yield np.load(path, mmap_mode="r")

    def holds(self, name: str) -> bool:
        """Whether the array of that name is there."""
        return (self.folder / f"{name}.npy").exists()

    def _is_taken(self, path: Path, reading: ExitStack) -> bool:
        """Lock the file for reading until the stack ends and mark it as used; false where there is none."""
        with self._bookkeeping():
            if not path.exists():
                return False
            _lock(reading.enter_context(path.open("rb")), exclusive=False)
            os.utime(path)
            return True

    def _make_room(self, needed: int) -> None:
        """Give up files, the least recently used first, until so many bytes more are within the bound and the disk."""
        with self._bookkeeping():
            files = sorted(self._files(), key=lambda path: path.stat().st_mtime)
            too_many = sum(path.stat().st_size for path in files) + needed - self.max_bytes
            too_many = max(too_many, needed - shutil.disk_usage(self.folder).free)
            for path in files:
                if too_many <= 0:
                    return
                size = path.stat().st_size
                too_many -= size if _is_given_up(path) else 0
            if too_many > 0:
                say(f"{self.folder}: {too_many / 2**20:.0f} MB more than its bound, since its files are in use")

    def _files(self) -> list[Path]:
        """Whole files; those that are being written have names that begin with a dot."""
        return [path for path in self.folder.glob("*.npy") if not path.name.startswith(".")]

    def _remove_leftovers(self, name: str) -> None:
        """What a process that was killed had begun to write; called by the one process that may write this name."""
        for path in self.folder.glob(f".{name}-*"):
            path.unlink(missing_ok=True)

    def _bookkeeping(self) -> Any:
        """Held while files are counted, taken or given up, never while one is made."""
        from filelock import FileLock

        return FileLock(self.folder / "bookkeeping.lock")


def write_batches(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike, batches: Batches) -> None:
    """A `.npy` file written batch after batch: unlike through a memory map, a full disk is an OSError.

    Args:
        path: of the file.
        shape: of the whole; the batches are parts of it along the first axis, in order.
        dtype: of the whole.
        batches: their number type is changed to it.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, header)
        for batch in batches:
            file.write(np.ascontiguousarray(batch, dtype).data)


def _is_given_up(path: Path) -> bool:
    """Remove the file, unless a process reads it."""
    try:
        with path.open("rb") as file:
            _lock(file, exclusive=True)
            path.unlink()
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.ENOENT):
            return False
        raise
    return True


def _lock(file: BinaryIO, *, exclusive: bool) -> None:
    """Until the file is closed.

    Raises:
        BlockingIOError: another holds a lock that this one does not go with.
    """
    import fcntl

    fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
