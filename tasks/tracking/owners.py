"""Whether the process that opened a run is still at work: it holds a lock that the kernel frees when the process ends.

A process id would not do, since ids are given out again, and the time at which a process started moves with the clock.
"""

import atexit
import functools
import socket
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_config.settings import Settings

if TYPE_CHECKING:
    from filelock import FileLock

OWNER = "darkroom.owner"
"""Tag of a run in MLflow, and the beginning of one in Prefect: machine and lock file of the process that opened it."""


def owner() -> str:
    """This process, as the tag `OWNER` has it."""
    return f"{socket.gethostname()}:{_hold(Settings().home).lock_file}"


@functools.cache
def _hold(home: Path) -> "FileLock":
    """The lock of this process in a home, held while the process lives; what ends in order leaves no file of it."""
    from filelock import FileLock

    path = home / "locks" / f"owner-{uuid.uuid4().hex}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    lock.acquire()
    atexit.register(path.unlink, missing_ok=True)
    return lock


def has_ended(tag: str) -> bool:
    """Whether the process of an `OWNER` tag is gone; of another machine's nothing can be told, and the answer is no."""
    from filelock import FileLock, Timeout

    host, _, path = tag.partition(":")
    if host != socket.gethostname():
        return False
    if not Path(path).exists():
        return True
    try:
        with FileLock(path, timeout=0):
            return True
    except Timeout:
        return False


def is_alone() -> bool:
    """Whether no other process is at work in this home; the lock files of those that are gone are removed."""
    own = Path(_hold(Settings().home).lock_file)
    others = [path for path in own.parent.glob("owner-*.lock") if path != own]
    gone = [path for path in others if has_ended(f"{socket.gethostname()}:{path}")]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone) == len(others)
