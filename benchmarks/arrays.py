"""Images of a run as arrays for a script: `python -m benchmarks.arrays HOME DIGEST FILE.npz`.

HOME is the DARKROOM_HOME of the run, DIGEST the `data_digest` that `darkroom run --json` prints.
"""

import sys
from pathlib import Path

import numpy as np

from tasks import manifest as manifests
from tasks.input_pipeline import ImageSet


def save_arrays(home: Path, digest: str, target: Path) -> None:
    """Write pixels uint8 and labels of each split, from the pixels that the run decoded."""
    cache = home / "cache"
    table = cache / "manifests" / f"{digest[:16]}.parquet"
    (pixels,) = (cache / "pixels").glob(f"{digest[:16]}-*.npy")
    rows = manifests.usable(manifests.read(table)).dropna(subset="split").sort_values("image_id")
    images = ImageSet(rows.reset_index(drop=True), pixels)
    arrays = {}
    for split in manifests.SPLITS:
        positions = images.positions(split)
        arrays |= {f"{split}_x": images.pixels[positions], f"{split}_y": images.labels[positions]}
    np.savez(target, **arrays)


if __name__ == "__main__":
    save_arrays(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
