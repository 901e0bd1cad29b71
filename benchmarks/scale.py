"""Rates from which docs/scale.md works out what larger sets need; in seconds of one processor, whatever runs beside it.

python -m benchmarks.scale
"""

import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tasks import manifest as manifests
from tasks.files import write_whole
from tasks.images import ImageReader, decode
from tasks.input_pipeline import read_rows, resize
from tasks.statistics import mean_interval
from tasks.validate.inspection import _inspect
from tasks.validate.similar_hashes import candidate_pairs

_IMAGES, _SIZE = 200, (375, 500)  # of ImageNet's usual size
_ROWS = 100_000
_HASHES = (125_000, 250_000, 500_000)


def main() -> None:
    """Print each rate on stderr as it comes, and one JSON line."""
    told: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for part in (_hashes, _table, _pixels, _images):
            found = part(Path(folder))
            print(*(f"{name}: {value:g}" for name, value in found.items()), sep="\n", file=sys.stderr, flush=True)
            told |= found
    print(json.dumps(told))


def _hashes(_: Path) -> dict[str, float]:
    told = {}
    for count in _HASHES:
        hashes = np.sort(np.random.default_rng(0).integers(0, 2**63, count).astype(np.uint64))
        told[f"near-duplicate candidates of {count:,} hashes: s"] = _seconds(partial(candidate_pairs, hashes))
    losses = np.random.default_rng(0).random(50_000)
    return {**told, "bootstrap of a mean over 50,000 rows: s": _seconds(partial(mean_interval, losses))}


def _seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return round(time.process_time() - started, 4)


def _images(folder: Path) -> dict[str, float]:
    """Photograph-like: smooth, with some noise."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(_SIZE[::-1])
    noisy = np.clip(np.asarray(coarse) + random.normal(0, 12, (*_SIZE, 3)), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noisy).save(stream, "JPEG", quality=90)
    (folder / "a.jpg").write_bytes(stream.getvalue())
    reader = ImageReader(folder, None)
    resize(decode(stream.getvalue()).pixels, (224, 224))  # TensorFlow is imported, and warm
    checked = _seconds(lambda: [_inspect(reader, "a.jpg", None) for _ in range(_IMAGES)])
    decoded = _seconds(lambda: [resize(decode(reader.read("a.jpg", None)).pixels, (224, 224)) for _ in range(_IMAGES)])
    return {
        "bytes of the JPEG": len(stream.getvalue()),
        "check of an image: ms": checked / _IMAGES * 1_000,
        "decode and resize an image to 224: ms": decoded / _IMAGES * 1_000,
    }


def _table(folder: Path) -> dict[str, float]:
    random = np.random.default_rng(0)
    digests = [random.bytes(32).hex() for _ in range(_ROWS)]
    columns = {
        "image_id": digests,
        "source": "folder",
        "path": [f"n{number % 1000:08}/n{number % 1000:08}_{number}.JPEG" for number in range(_ROWS)],
        "label": np.arange(_ROWS) % 1000,
        "class_name": [f"class {number % 1000}" for number in range(_ROWS)],
        "width": 500,
        "height": 375,
        "mode": "RGB",
        "format": "JPEG",
        "brightness": random.random(_ROWS) * 255,
        "bytes": random.integers(50_000, 200_000, _ROWS),
        "sha256": digests[::-1],
        "phash": [digest[:16] for digest in digests],
        "group": digests,
        "split": "train",
        "status": "ok",
    }
    table = manifests.conform(pd.DataFrame(columns))
    path = folder / "manifest.parquet"
    return {
        "manifest, bytes a row in memory": table.memory_usage(deep=True).sum() / _ROWS,
        "digest, µs a row": _seconds(lambda: manifests.digest(table)) / _ROWS * 1e6,
        "write, µs a row": _seconds(lambda: manifests.write(table, path)) / _ROWS * 1e6,
        "read, µs a row": _seconds(lambda: manifests.read(path)) / _ROWS * 1e6,
        "manifest, bytes a row in Parquet": path.stat().st_size / _ROWS,
        **_predictions(folder, digests[:5_000]),
    }


def _predictions(folder: Path, ids: list[str]) -> dict[str, float]:
    """A thousand classes, in the floats of the models."""
    probabilities = np.random.default_rng(0).dirichlet(np.full(1_000, 0.05), len(ids)).astype(np.float32)
    table = pd.DataFrame(probabilities, columns=[f"class {number}" for number in range(1_000)]).assign(image_id=ids)
    with write_whole(folder / "predictions.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    return {"predictions, bytes a row of 1,000 classes": (folder / "predictions.parquet").stat().st_size / len(ids)}


def _pixels(folder: Path) -> dict[str, float]:
    """Shuffled rows of 224 pixels from a file that the system has in memory."""
    np.save(folder / "pixels.npy", np.ones((1_000, 224, 224, 3), np.uint8))
    mapped, order = np.load(folder / "pixels.npy", mmap_mode="r"), np.random.default_rng(0).permutation(1_000)
    seconds = _seconds(lambda: read_rows(mapped, order))
    return {"shuffled rows of 224 pixels, read: images/s": round(1_000 / seconds)}


if __name__ == "__main__":
    main()
