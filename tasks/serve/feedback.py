"""Images whose right class somebody has told, kept as a folder data set: `EXPERIMENT/CLASS/sha256.suffix`."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pipeline_config.errors import DataError
from tasks.files import write_whole
from tasks.images import decode

_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "PPM": ".ppm"}  # Pillow knows several of each


def store_feedback(root: Path, encoded: bytes, label: str, class_names: Sequence[str]) -> Path:
    """Store an image as it came, named after its bytes; one that was stored as another class moves to this one.

    Args:
        root: folder of the experiment's feedback; made if need be.
        encoded: content of the image's file.
        label: the right class.
        class_names: those that the model knows.

    Returns:
        The file, which is there whole or not at all.

    Raises:
        DataError: the model does not know the class, no folder can have its name, or the bytes are no image.
    """
    _check(label, class_names)
    path = root / label / f"{hashlib.sha256(encoded).hexdigest()}{_suffix(encoded)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    before = [file for name in class_names if _is_folder_name(name) and (file := root / name / path.name).exists()]
    if before and path not in before:
        before[0].replace(path)
    elif not before:
        with write_whole(path) as temporary:
            temporary.write_bytes(encoded)
    return path


def _check(label: str, class_names: Sequence[str]) -> None:
    if label not in class_names:
        known = ", ".join(class_names[:10]) + (" …" if len(class_names) > 10 else "")
        raise DataError(f"expected one of the model's classes: {known}; received '{label[:60]}'; nothing was stored")
    if not _is_folder_name(label):
        raise DataError(f"expected a class that can name a folder; received '{label[:60]}'; nothing was stored")


def _is_folder_name(name: str) -> bool:
    """Of one folder below the root; `prepare` leaves hidden ones out."""
    return not name.startswith(".") and not set("/\\\0") & set(name) and 0 < len(os.fsencode(name)) <= 200


def _suffix(encoded: bytes) -> str:
    """Of the format that the bytes are in, whatever the file was called."""
    try:
        kind = decode(encoded).format or ""
    except (OSError, ValueError, Image.DecompressionBombError):
        raise DataError("expected an image; received something else; nothing was stored") from None
    return _SUFFIXES.get(kind, f".{kind.lower()}" if kind else "")
