"""Any image classification set of TensorFlow Datasets, by name and version; prepared data are used where they are.

An image's class is its class label; or, in a set of `objects` with a label and a box each, that of one of its objects.
"""

import hashlib
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from pipeline_config.errors import ConfigurationError, DataError, Unreachable
from pipeline_config.section import Section
from pipeline_config.sentences import did_you_mean
from pipeline_config.settings import Settings
from tasks.image_store import write_store
from tasks.ingest.found import FRACTIONS, Description, FoundImages
from tasks.ingest.kept_store import keep, read_kept
from tasks.ingest.objects import Policy, choose_objects
from tasks.ingest.wording import name_them
from tasks.progress import track

GIVEN_SPLITS = {"train": "train", "validation": "validation", "test": "test"}
_CONNECT_SECONDS = 5


class Options(Section):
    """Options of a TFDS data set; `objects` says what becomes of an image with several."""

    name: str
    version: str | None = None
    data_dir: Path | None = None
    download: bool = True
    objects: Policy = "largest"


class _Features(NamedTuple):
    """Names of the features that are read; `objects` holds `label` and `box` where the set has a list of objects."""

    image: str
    label: str
    box: str | None
    objects: str | None
    class_names: tuple[str, ...]


def describe(options: Options) -> Description:
    """From the data set's own metadata; nothing is downloaded."""
    builder = _builder(options)
    features = _features(builder)
    height, width, _ = builder.info.features[features.image].shape
    size = (int(height), int(width)) if height and width else None
    splits = [builder.info.splits[name] for name in GIVEN_SPLITS if name in builder.info.splits]
    count = sum(split.num_examples for split in splits) or None
    return Description(features.class_names, size, count)


def list_images(options: Options, storage: Path) -> FoundImages:
    """Every image as it is encoded in the data set, in a store that is written once for the same prepared data.

    Raises:
        ConfigurationError: no such data set, or not one of images with a class each.
        DataError: not prepared, and `download` is false; or no image has an object.
        Unreachable: not prepared, and its server cannot be reached.
    """
    builder = _builder(options)
    if not builder.is_prepared():
        _prepare(builder, options)
    features = _features(builder)
    full_name = builder.info.full_name
    store = storage / "tfds" / f"{full_name.replace('/', '-')}-{_digest_of_files(builder)}.arrow"
    objects = read_kept(store)
    if objects is None:
        objects = _write(builder, features, store)
    chosen = choose_objects(_named(objects, features.class_names), options.objects)
    notes = (*_note_other_splits(builder), *chosen.notes)
    if chosen.table.empty:
        raise DataError(f"dataset.name: no image of {full_name} is left; {'; '.join(notes)}")
    table = chosen.table.drop(columns="image").assign(source=f"tfds:{full_name.replace('/', ':')}")
    licence = builder.info.redistribution_info.license if builder.info.redistribution_info else None
    return FoundImages(
        table.drop(columns=list(FRACTIONS)) if features.box is None else table,
        features.class_names,
        store=store,
        licence=licence or None,
        citation=builder.info.citation or None,
        notes=notes,
    )


def _note_other_splits(builder: Any) -> tuple[str, ...]:
    others = sorted(set(builder.info.splits) - set(GIVEN_SPLITS))
    return (f"left out, splits other than {', '.join(GIVEN_SPLITS)}: {name_them(others)}",) if others else ()


def _digest_of_files(builder: Any) -> str:
    """Tells prepared data of one name and version apart: 16 hex digits over their folder and record files."""
    told = [str(builder.data_path)]
    for name in sorted(builder.info.splits):
        for path in map(Path, builder.info.splits[name].filepaths):
            try:
                status = path.stat()
            except OSError as error:
                raise DataError(
                    f"dataset.data_dir: {path} cannot be read: {error.strerror}; expected all files that TFDS wrote "
                    "there; copy them anew, or remove their folder and set dataset.download=true"
                ) from None
            told.append(f"{path.name} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _named(objects: pd.DataFrame, class_names: tuple[str, ...]) -> pd.DataFrame:
    """The objects as `choose_objects` takes them: with their images' and classes' names and their boxes' areas."""
    names = pd.Series(class_names, dtype="str").reindex(objects["label"]).array
    images = objects["split"].str.cat(objects["number"].astype("str"), sep=" ")
    area = objects["box_width"] * objects["box_height"]
    return objects.drop(columns="number").assign(image=images, class_name=names, area=area)


def _builder(options: Options) -> Any:
    """The data set's builder; its data lie in `data_dir`, by default below `DARKROOM_HOME`."""
    import tensorflow_datasets as tfds

    data_dir = options.data_dir.expanduser().absolute() if options.data_dir else Settings().data / "tfds"
    name = f"{options.name}:{options.version}" if options.version else options.name
    try:
        with _temporary_files_removed():
            return tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError:
        hint = did_you_mean(options.name, tfds.list_builders(with_community_datasets=False))
        raise ConfigurationError(f"dataset.name: TFDS knows no data set '{options.name}'{hint}") from None
    except (AssertionError, ValueError) as error:
        raise ConfigurationError(f"dataset.version: {name}: {' '.join(str(error).split())}") from None


@contextmanager
def _temporary_files_removed() -> Iterator[None]:
    """TFDS makes a folder for temporary files and leaves it behind where a data set is not prepared."""
    usual = tempfile.tempdir
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = usual


def _features(builder: Any) -> _Features:
    """Which features hold the images, their classes and boxes.

    Raises:
        ConfigurationError: no image with a class.
    """
    import tensorflow_datasets as tfds

    features = dict(builder.info.features)
    image = _only(features, tfds.features.Image, "image")
    label = _only(features, tfds.features.ClassLabel, "label")
    objects = getattr(features.get("objects"), "feature", None)
    if image and label:
        return _Features(image, label, _box(features), None, tuple(features[label].names))
    if image and isinstance(objects, tfds.features.FeaturesDict) and "label" in objects and _box(objects):
        return _Features(image, "label", _box(objects), "objects", tuple(objects["label"].names))
    raise ConfigurationError(
        f"dataset.name: {builder.name} is no image classification set; expected one image and one class label, or "
        f"`objects` with a label and a box, received the features {', '.join(features)}"
    )


def _only(features: Mapping[str, Any], kind: type, usual: str) -> str | None:
    """Name of the only feature of its kind, or of several the one with the usual name."""
    names = [name for name, feature in features.items() if type(feature) is kind]
    return usual if usual in names else names[0] if len(names) == 1 else None


def _box(features: Mapping[str, Any]) -> str | None:
    """Name of the box whose corners are fractions of the image; TFDS hands them over as ymin, xmin, ymax, xmax."""
    import tensorflow_datasets as tfds

    name = _only(features, tfds.features.BBoxFeature, "bbox")
    form = getattr(features[name], "bbox_format", None) if name else None
    return name if form and form.value.startswith("REL_") else None


def _write(builder: Any, features: _Features, store: Path) -> pd.DataFrame:
    """Write the store, and its objects beside it: one row an object, or one without a label where there is none."""
    rows: list[tuple[Any, ...]] = []
    write_store(store, _encoded(builder, features, rows))
    objects = pd.DataFrame(rows, columns=["index", "split", "number", "label", *FRACTIONS]).astype(
        {"label": "Int64", **dict.fromkeys(FRACTIONS, "float64")}
    )
    keep(store, objects)
    return objects


def _encoded(builder: Any, features: _Features, rows: list[tuple[Any, ...]]) -> Iterator[bytes]:
    """Encoded images in the order of the files; fills in the rows of their objects as it goes."""
    import tensorflow_datasets as tfds

    in_order = tfds.ReadConfig(interleave_cycle_length=1, add_tfds_id=False, try_autocache=False)
    told = dict.fromkeys(filter(None, [features.label, features.box]), True)
    wanted = {features.image: True, **({features.objects: told} if features.objects else told)}
    decoders = tfds.decode.PartialDecoding(wanted, {features.image: tfds.decode.SkipDecoding()})
    index = 0
    for split in sorted(set(builder.info.splits) & set(GIVEN_SPLITS)):
        dataset = builder.as_dataset(split=split, decoders=decoders, shuffle_files=False, read_config=in_order)
        total = builder.info.splits[split].num_examples
        for number, example in enumerate(track(dataset.as_numpy_iterator(), f"reading {builder.name} {split}", total)):
            rows += [(index, GIVEN_SPLITS[split], number, *row) for row in _objects(example, features)]
            yield example[features.image]
            index += 1


def _objects(example: dict[str, Any], features: _Features) -> Iterator[tuple[int | None, float, float, float, float]]:
    """Label and box, as fractions, of each object of an image; one without a label where there is none."""
    holder = example[features.objects] if features.objects else example
    labels = np.atleast_1d(holder[features.label])
    boxes = np.full((len(labels), 4), np.nan) if features.box is None else np.atleast_2d(holder[features.box])
    for label, (top, left, bottom, right) in zip(labels.tolist(), boxes.tolist(), strict=True):
        yield label, left, top, right - left, bottom - top
    if not len(labels):
        yield None, np.nan, np.nan, np.nan, np.nan


def _prepare(builder: Any, options: Options) -> None:
    """Download and prepare, once it is known that the server answers: TFDS itself would retry for minutes."""
    import tensorflow_datasets as tfds

    if not options.download:
        raise DataError(
            f"dataset.data_dir: {builder.data_path} holds no prepared {builder.info.full_name}; "
            "expected the files that TFDS writes there; set dataset.data_dir, or dataset.download=true"
        )
    manual_dir = Settings().data / "downloads"
    archives = {url: info for url, info in builder.url_infos.items() if not (manual_dir / info.filename).exists()}
    for url, info in archives.items():
        if not _answers(url):
            raise Unreachable(
                f"dataset.name: {builder.info.full_name} is not prepared, and {urlsplit(url).hostname} is silent; "
                f"put the archive {info.filename} ({info.size / 1e6:.0f} MB, from {url}) into {manual_dir}, "
                "or set dataset.data_dir to prepared data"
            )
    manual_dir.mkdir(parents=True, exist_ok=True)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False)
    )


def _answers(url: str) -> bool:
    """Whether a connection to the URL's server can be made."""
    address = urlsplit(url)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with closing(socket.create_connection((address.hostname, port), timeout=_CONNECT_SECONDS)):
            return True
    except OSError:
        return False
