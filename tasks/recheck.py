"""The test images of an earlier run: whether they still are what they were when the run used them."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd
from PIL import Image

from pipeline_config.errors import DataError
from tasks import manifest as manifests
from tasks.image_id import image_id
from tasks.images import ImageReader, decode
from tasks.progress import track
from tasks.records import Manifest

_NAMED = 3


def check_test_images(manifest: Manifest) -> None:
    """Read every test image again and hold it against the manifest.

    Args:
        manifest: as it was logged; `root` and `store` say where the images are now.

    Raises:
        DataError: names the images that are gone or have other pixels.
    """
    rows = manifests.usable(manifests.read(manifest.path), "test")
    reader = ImageReader(manifest.root, manifest.store)
    checked = (_check(reader, *known) for known in track(_known(rows), "checking test images", len(rows)))
    problems = [problem for problem in checked if problem]
    if problems:
        more = [f"{len(problems) - _NAMED:,} more"] if len(problems) > _NAMED else []
        raise DataError(
            f"{len(problems):,} of {len(rows):,} test images are not what they were when the model was trained: "
            f"{'; '.join(problems[:_NAMED] + more)}; put the images back as they were, or train on the present ones "
            "with `darkroom run`"
        )


def _known(rows: pd.DataFrame) -> Iterable[tuple[str | None, int | None, str, str]]:
    """Path or index, sha256 and image id of every row."""
    columns = rows[["path", "index", "sha256", "image_id"]].astype(object)
    return columns.where(columns.notna(), None).itertuples(index=False, name=None)


def _check(reader: ImageReader, path: str | None, index: int | None, sha256: str, expected: str) -> str | None:
    """What is wrong with one image, or None. A file of the same bytes need not be decoded."""
    name = path or f"index {index}"
    try:
        encoded = reader.read(path, index)
        if hashlib.sha256(encoded).hexdigest() == sha256:
            return None
        pixels = decode(encoded).pixels
    except (FileNotFoundError, IndexError):
        return f"{name} is gone"
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        return f"{name} cannot be read ({getattr(error, 'strerror', None) or error})"
    return None if image_id(pixels) == expected else f"{name} has other pixels"


def keep_test_rows(manifest: Manifest, folder: Path) -> Manifest:
    """A manifest of the test rows alone, written into a folder.

    Its digest is that of the test rows: the cache keeps other pixels for the whole set.
    """
    path = folder / "test_rows.parquet"
    manifests.write(manifests.usable(manifests.read(manifest.path), "test"), path)
    return replace(manifest, path=path, digest=manifest.test_digest)
