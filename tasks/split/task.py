"""Split as a Prefect task."""

from dataclasses import replace

from prefect import task

from pipeline_config.experiment import Split
from tasks import manifest as manifests
from tasks.records import Manifest
from tasks.split.assign import assign_splits
from tasks.split.folds import assign_folds


@task(name="split")
def split_dataset(manifest: Manifest, split: Split) -> Manifest:
    """Give every usable image a split, and a fold where folds are asked for; name the result by its digest."""
    table = assign_folds(assign_splits(manifests.read(manifest.path), split), split)
    digest = manifests.digest(table)
    path = manifest.path.with_name(f"{digest[:16]}.parquet")
    manifests.write(table, path)
    test_digest = manifests.digest(manifests.usable(table, "test"))
    return replace(manifest, path=path, digest=digest, test_digest=test_digest)
