"""A disk that fills up must not leave runs open: space is asked for first, and a reserve is given up in need."""

import errno
import shutil
from pathlib import Path

from pipeline_config.errors import DarkroomError

_NEEDED_BYTES = 64 * 2**20
_RESERVE_BYTES = 4 * 2**20
_RESERVE_NAME = ".reserve"


def check_space(home: Path) -> None:
    """Make the home, and keep a reserve in it that `give_up_reserve` frees.

    Raises:
        DarkroomError: the home cannot be written, or too little is free for any run.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        reserve = home / _RESERVE_NAME
        free = shutil.disk_usage(home).free + (reserve.stat().st_size if reserve.exists() else 0)
        if free < _NEEDED_BYTES:
            raise DarkroomError(full_sentence(home, f"expected at least {_NEEDED_BYTES // 2**20} MB free"))
        reserve.write_bytes(bytes(_RESERVE_BYTES))
    except OSError as error:
        raise DarkroomError(
            f"DARKROOM_HOME={home}: cannot be written: {error.strerror}; set it to another folder"
        ) from None


def give_up_reserve(home: Path) -> None:
    """Free the reserve, so that the end of a run can still be written down."""
    (home / _RESERVE_NAME).unlink(missing_ok=True)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that no space is left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        if "database or disk is full" in str(error) or "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def full_sentence(home: Path, opening: str) -> str:
    """What people are told of a full disk."""
    free = shutil.disk_usage(home).free
    return (
        f"DARKROOM_HOME={home}: {opening}; {free / 2**20:.0f} MB are free; free some space, or set it to another disk"
    )
