"""How long the checks of a data set take, and what memory: `make bench-data`. Made-up data, in a temporary folder."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from rich.console import Console
from rich.table import Table

from pipeline_config.experiment import Validation
from tasks.images import ImageReader, Pixels, decode
from tasks.manifest import conform, read, write
from tasks.records import Listing
from tasks.validate.dataset_checks import check_dataset
from tasks.validate.inspection import inspect_images
from tasks.validate.leakage import leaking_rows
from tasks.validate.near_duplicates import find_near_duplicates

FILES, SIDE, SAMPLE = 10_000, 160, 1_000
ROWS = 1_000_000
HASHES, PLANTED = 60_000, 600


class Measured(NamedTuple):
    """One line of the table: `ratio` is to something plain that was done in the same run, so that machines compare."""

    part: str
    value: float
    bound: float
    unit: str
    ratio: str


def main() -> None:
    """Measure each part, print the table; exit code 1 where a bound is exceeded."""
    results = [*in_own_process("expectations"), *near_duplicates(), *passes()]
    table = Table("part", "measured", "bound", "ratio")
    for result in results:
        style = "red" if result.value > result.bound else ""
        measured, bound = (f"{number:.2f} {result.unit}" for number in (result.value, result.bound))
        table.add_row(result.part, measured, bound, result.ratio, style=style)
    Console().print(table)
    sys.exit(any(result.value > result.bound for result in results))


def passes() -> list[Measured]:
    """The first and the second pass over JPEG files."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        listing = make_files(folder)
        reader = ImageReader(listing.root, None)
        plain = seconds(lambda: [decode(reader.read(f"{number}.jpg", None)) for number in range(SAMPLE)])
        first = seconds(lambda: inspect_images(listing, folder / "cache"))
        second = seconds(lambda: inspect_images(listing, folder / "cache"))
    told = f"{first / (plain * FILES / SAMPLE):.2f} × reading and decoding alone, on one core"
    return [
        Measured(f"first pass over {FILES:,} JPEGs of {SIDE} px", first, 25, "s", told),
        Measured("second pass", second, 2, "s", f"{second / first:.3f} × the first"),
    ]


def make_files(folder: Path) -> Listing:
    """JPEGs of 6 to 10 kB: smooth shapes with a little grain, as photographs have."""
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    for number in range(FILES):
        shapes = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize((SIDE, SIDE))
        grain = random.normal(0, 6, (SIDE, SIDE, 1))
        pixels = np.clip(np.asarray(shapes) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.jpg", quality=85)
    paths = [f"{number}.jpg" for number in range(FILES)]
    table = pd.DataFrame({"source": "folder", "path": paths, "label": 0, "class_name": "cat", "split": None})
    table.to_parquet(folder / "listing.parquet")
    return Listing(folder / "listing.parquet", ("cat",), folder / "images", None)


def expectations() -> list[Measured]:
    """All expectations over a large manifest; to be run in a process of its own, whose memory is measured."""
    table = make_manifest(ROWS)
    findings = pd.DataFrame({"row": [], "check": [], "detail": [], "quarantined": []})
    pairs = pd.DataFrame({"first": [], "second": [], "kind": [], "distance": []})
    bounds = Validation()
    leaks = leaking_rows(table, pairs)
    checked = seconds(lambda: check_dataset(table, ("cat", "dog"), findings, pairs, leaks, bounds))
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "manifest.parquet"
        stored = seconds(lambda: write(table, path)) + seconds(lambda: read(path))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    told = f"{checked / stored:.1f} × writing and reading the manifest"
    return [
        Measured(f"expectations over {ROWS:,} rows", checked, 60, "s", told),
        Measured("peak memory of these", peak, 2, "GiB", "the manifest included"),
    ]


def make_manifest(rows: int) -> pd.DataFrame:
    """A sound manifest of two classes, unlike in every row."""
    random = np.random.default_rng(0)
    ids = pd.Series([f"{number:064x}" for number in range(rows)])
    sizes = {"width": random.integers(100, 400, rows), "height": random.integers(100, 400, rows)}
    label = np.arange(rows) % 2
    names = np.where(label == 0, "cat", "dog")
    return conform(
        pd.DataFrame({"image_id": ids, "sha256": ids, "group": ids, "label": label, "class_name": names}).assign(
            **sizes,
            source="folder",
            path=ids.str[-8:] + ".jpg",
            mode="RGB",
            format="JPEG",
            bytes=8_000,
            brightness=random.uniform(0, 255, rows),
            phash=[f"{number:016x}" for number in random.integers(0, 2**63, rows)],
            status="ok",
        )
    )


def near_duplicates() -> list[Measured]:
    """The search among hashes at random, with pairs planted of which both images are alike."""
    table = make_manifest(HASHES).assign(width=64, height=64)
    numbers = np.array([int(digits, 16) for digits in table["phash"]], dtype=np.uint64)
    numbers[-PLANTED:] = numbers[:PLANTED] ^ np.uint64(1)
    table["phash"] = [f"{number:016x}" for number in numbers]

    def pixels(row: int) -> Pixels:
        picture = row % (HASHES - PLANTED)  # the last ones are the first ones again
        return np.random.default_rng(picture).integers(0, 256, (64, 64, 3), dtype=np.uint8)

    searched = seconds(lambda: find_near_duplicates(table, pixels))
    compared = seconds(lambda: [np.bitwise_count(numbers ^ number).min() for number in numbers[:SAMPLE]])
    told = f"{searched / (compared * HASHES / SAMPLE / 2):.2f} × comparing all pairs with NumPy"
    return [Measured(f"near-duplicates of {HASHES:,} hashes", searched, 30, "s", told)]


def seconds(work: Callable[[], object]) -> float:
    """By the clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_own_process(part: str) -> list[Measured]:
    """What `python -m benchmarks.data PART` measures."""
    command = [sys.executable, "-m", "benchmarks.data", part]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [Measured(*values) for values in json.loads(answer)]


if __name__ == "__main__":
    if sys.argv[1:] == ["expectations"]:
        print(json.dumps(expectations()))
    else:
        main()
