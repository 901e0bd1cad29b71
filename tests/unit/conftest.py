"""Fixtures that several unit tests share: manifests and listings, made here."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from pipeline_config.experiment import Dataset
from tasks.ingest.listing import list_dataset
from tasks.manifest import conform
from tasks.records import Listing


@pytest.fixture(scope="module")
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """TFDS leaves temporary folders behind when a data set is built; here they are the test's."""
    usual = tempfile.tempdir
    tempfile.tempdir = str(tmp_path_factory.mktemp("temporary"))
    yield
    tempfile.tempdir = usual


@pytest.fixture(scope="session")
def make_manifest() -> Callable[..., pd.DataFrame]:
    """`make_manifest(per_class, cat=12)`: a sound manifest with so many images a class, `cat` having 12."""

    def make(**images: int) -> pd.DataFrame:
        rows = [(label, name, i) for label, (name, count) in enumerate(images.items()) for i in range(count)]
        labels, names, numbers = zip(*rows, strict=True)
        ids = [f"{position:064x}" for position in range(len(rows))]
        table = pd.DataFrame({"image_id": ids, "label": labels, "class_name": names, "sha256": ids, "group": ids})
        paths = [f"{name}/{number:03}.png" for name, number in zip(names, numbers, strict=True)]
        sizes = {"width": 32, "height": 24, "mode": "RGB", "bytes": 900}
        return conform(
            table.assign(
                source="folder", path=paths, phash="0" * 16, format="PNG", brightness=120.0, status="ok", **sizes
            )
        )

    return make


@pytest.fixture
def list_with(tmp_path: Path) -> Callable[..., tuple[Listing, pd.DataFrame]]:
    """`list_with(source="folder", path=…)`: the listing, and its table as read back."""

    def make(**section: object) -> tuple[Listing, pd.DataFrame]:
        listing = list_dataset(Dataset(**section), tmp_path / "storage", tmp_path / "cache")
        return listing, pd.read_parquet(listing.path)

    return make


@pytest.fixture
def list_files(tmp_path: Path) -> Callable[..., Listing]:
    """`list_files(root, ["a.png", …])`: a listing of these files, all of class `cat`."""

    def make(root: Path, paths: list[str], **columns: object) -> Listing:
        path = tmp_path / "listing.parquet"
        table = pd.DataFrame({"source": "folder", "path": paths, "label": 0, "class_name": "cat", "split": None})
        table.assign(**columns).to_parquet(path)
        return Listing(path=path, class_names=("cat", "dog"), root=root, store=None)

    return make
