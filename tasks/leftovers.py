"""What a killed process was writing: temporary files and folders below the home, by their names."""

import re
import shutil
from pathlib import Path

from pipeline_config.settings import Settings

_FILE = re.compile(r"\..+-[a-z0-9_]{8}(\..*)?")  # of `write_whole`
_FOLDER = re.compile(r"tmp[a-z0-9_]{8}")  # of tempfile.TemporaryDirectory


def remove_leftovers() -> int:
    """Remove them, of all processes: the caller is the only one at work in the home. Returns how many there were."""
    found = _find(Settings().home)
    for path in found:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(found)


def _find(home: Path) -> list[Path]:
    cache = home / "cache"
    folders = [path for path in cache.glob("tmp*") if path.is_dir() and _FOLDER.fullmatch(path.name)]
    files = [
        path
        for folder in (cache, home / "sweeps", home / "feedback", home / "exports")
        for path in folder.rglob(".*")
        if _FILE.fullmatch(path.name)
    ]
    return folders + files
