"""Images from outside the data set: which of them count."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
from PIL import Image

from tasks import manifest as manifests
from tasks.image_id import image_id
from tasks.images import ImageReader, decode
from tasks.opening import why_not_opened
from tasks.progress import track
from tasks.records import Listing, Manifest

SPLIT = "outside"
_NAMED = 20


def make_outside_manifest(listing: Listing, manifest: Manifest, cache: Path) -> tuple[Manifest | None, tuple[str, ...]]:
    """Open every listed image and keep those that can tell something: a manifest of them, written below `cache`.

    Left out are what cannot be opened and decoded, images of the data set's splits, copies of another outside image,
    and a picture that lies in two class folders.

    Args:
        listing: files below a root, of classes of the data set.
        manifest: of the data set.
        cache: where what can be made again is kept.

    Returns:
        A manifest with labels and image size of the data set, all rows of the split "outside", or None where no image
        is left; and a sentence for each reason for which images were left out, naming them.
    """
    found, undecodable = _open_all(listing)
    reasons = _reasons(found, manifest).reindex(found.index)
    left_out = _in_sentences({**dict(undecodable), **dict(zip(found["path"], reasons, strict=True))})
    found = found[reasons.isna()]
    if found.empty:
        return None, left_out
    labels = found["class_name"].map({name: label for label, name in enumerate(manifest.class_names)})
    table = manifests.conform(found.assign(source="outside", label=labels, bytes=0, split=SPLIT, status="ok"))
    digest = manifests.digest(table)
    path = cache / "outside" / f"{digest[:16]}-{listing.path.stem}.parquet"
    manifests.write(table, path)
    return Manifest(path, digest, "", manifest.class_names, manifest.image_size, listing.root, None), left_out


def _open_all(listing: Listing) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Path, class, id and size of every image that can be decoded; path and reason of the others."""
    listed, reader = pd.read_parquet(listing.path), ImageReader(listing.root, None)
    rows, undecodable = [], []
    pairs = zip(listed["path"], listed["class_name"], strict=True)
    for path, class_name in track(pairs, "opening outside images", len(listed)):
        try:
            pixels = decode(reader.read(path, None)).pixels
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            undecodable.append((path, why_not_opened(error)))
        else:
            height, width, _ = pixels.shape
            rows.append((path, class_name, image_id(pixels), width, height))
    return pd.DataFrame(rows, columns=["path", "class_name", "image_id", "width", "height"]), undecodable


def _reasons(found: pd.DataFrame, manifest: Manifest) -> pd.Series:
    """Why each image does not count; null where it does."""
    rows = manifests.read(manifest.path).dropna(subset="split")  # a copy that is quarantined has none
    ids = found["image_id"]
    in_two_classes = found.groupby("image_id")["class_name"].transform("nunique") > 1
    reasons = ids.map(dict(zip(rows["image_id"], rows["split"], strict=True))).astype("object")
    reasons = reasons.where(reasons.isna(), "in the data set already: " + reasons.astype(str))
    reasons = reasons.mask(reasons.isna() & in_two_classes, "in the folders of two classes")
    return reasons.mask(reasons.isna() & ids.duplicated(), "a copy of another one")


def _in_sentences(reasons: Mapping[str, str | None]) -> tuple[str, ...]:
    """A sentence for each reason; images without one are not named."""
    grouped: dict[str, list[str]] = {}
    for path, why in reasons.items():
        if isinstance(why, str):
            grouped.setdefault(why, []).append(path)
    return tuple(f"outside images left out ({why}): {name_some(paths)}" for why, paths in grouped.items())


def name_some(paths: Iterable[str]) -> str:
    """The first of many by name, and how many more there are."""
    names = sorted(paths)
    more = [f"and {len(names) - _NAMED:,} more"] if len(names) > _NAMED else []
    return ", ".join([*names[:_NAMED], *more])
