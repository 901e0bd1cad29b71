"""What people name on a command line -> files."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.opening import find_files


def expand(named: Iterable[str]) -> list[tuple[str, str]]:
    """Files, folders at any depth, and globs as files, each once, in the order in which they were named.

    Args:
        named: paths; a glob may have `**` for folders at any depth.

    Returns:
        Path, and a sentence where there is no file of that name; empty where there may be.
    """
    found: dict[str, str] = {}
    for one in named:
        for path, problem in _expand(one):
            found.setdefault(path, problem)
    return list(found.items())


def _expand(named: str) -> Iterator[tuple[str, str]]:
    found = [named] if _exists(named) else sorted(glob.glob(named, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not found:
        yield named, "no file or folder has this name"
    for one in found:
        yield from _files(one)


def _exists(path: str) -> bool:
    """Links that lead nowhere count: they are told by name."""
    return os.path.lexists(path)  # false, and no error, also for a name that is too long


def _files(path: str) -> Iterator[tuple[str, str]]:
    if not Path(path).is_dir():
        yield path, ""
        return
    below = sorted(find_files(Path(path)))
    yield from ((str(Path(path, name)), "") for name in below)
    if not below:
        yield path, "no file is in this folder"
