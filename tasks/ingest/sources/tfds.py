"""Any image classification set of TensorFlow Datasets, by name and version; prepared data are used where they are."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from pipeline_config.errors import ConfigurationError, DataError, Unreachable
from pipeline_config.experiment import Section
from pipeline_config.sentences import did_you_mean
from pipeline_config.settings import Settings
from tasks.image_store import write_store
from tasks.ingest.found import Description, FoundImages
from tasks.progress import track

GIVEN_SPLITS = {"train": "train", "validation": "validation", "test": "test"}
_CONNECT_SECONDS = 5


class Options(Section):
    """Options of a TFDS data set."""

    name: str
    version: str | None = None
    data_dir: Path | None = None
    download: bool = True


def describe(options: Options) -> Description:
    """From the data set's own metadata; nothing is downloaded."""
    builder = _builder(options)
    image, label = _features(builder)
    height, width, _ = builder.info.features[image].shape
    size = (int(height), int(width)) if height and width else None
    splits = [builder.info.splits[name] for name in GIVEN_SPLITS if name in builder.info.splits]
    count = sum(split.num_examples for split in splits) or None
    return Description(tuple(builder.info.features[label].names), size, count)


def list_images(options: Options, storage: Path) -> FoundImages:
    """Every image as it is encoded in the data set, in a store.

    Raises:
        ConfigurationError: no such data set, or not one of images with a class each.
        DataError: not prepared, and `download` is false.
        Unreachable: not prepared, and its server cannot be reached.
    """
    builder = _builder(options)
    if not builder.is_prepared():
        _prepare(builder, options)
    image, label = _features(builder)
    class_names = tuple(builder.info.features[label].names)
    labels: list[int] = []
    given: list[str] = []
    store = storage / "tfds" / f"{builder.info.full_name.replace('/', '-')}.arrow"
    write_store(store, _encoded(builder, image, label, labels, given))
    table = pd.DataFrame(
        {
            "source": f"tfds:{builder.info.full_name.replace('/', ':')}",
            "index": range(len(labels)),
            "label": labels,
            "class_name": [class_names[number] for number in labels],
            "split": given,
        }
    )
    licence = builder.info.redistribution_info.license if builder.info.redistribution_info else None
    return FoundImages(table, class_names, store=store, licence=licence or None, citation=builder.info.citation or None)


def _builder(options: Options) -> Any:
    """The data set's builder; its data lie in `data_dir`, by default below `DARKROOM_HOME`."""
    import tensorflow_datasets as tfds

    data_dir = options.data_dir.expanduser().absolute() if options.data_dir else Settings().data / "tfds"
    name = f"{options.name}:{options.version}" if options.version else options.name
    try:
        return tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError:
        hint = did_you_mean(options.name, tfds.list_builders(with_community_datasets=False))
        raise ConfigurationError(f"dataset.name: TFDS knows no data set '{options.name}'{hint}") from None
    except (AssertionError, ValueError) as error:
        raise ConfigurationError(f"dataset.version: {name}: {' '.join(str(error).split())}") from None


def _features(builder: Any) -> tuple[str, str]:
    """Names of the image and the label feature."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features)
    images = [name for name, feature in features.items() if isinstance(feature, tfds.features.Image)]
    labels = [name for name, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    if len(images) == 1 and "label" in labels:
        return images[0], "label"
    if len(images) == 1 and len(labels) == 1:
        return images[0], labels[0]
    raise ConfigurationError(
        f"dataset.name: {builder.name} is no image classification set; expected one image and one class label, "
        f"received the features {', '.join(features)}"
    )


def _encoded(builder: Any, image: str, label: str, labels: list[int], given: list[str]) -> Iterator[bytes]:
    """Encoded images in the order of the files; fills in the label and given split of each as it goes."""
    import tensorflow_datasets as tfds

    in_order = tfds.ReadConfig(interleave_cycle_length=1, add_tfds_id=False, try_autocache=False)
    decoders = {image: tfds.decode.SkipDecoding()}
    for split in sorted(set(builder.info.splits) & set(GIVEN_SPLITS)):
        dataset = builder.as_dataset(split=split, decoders=decoders, shuffle_files=False, read_config=in_order)
        total = builder.info.splits[split].num_examples
        for example in track(dataset.as_numpy_iterator(), f"reading {builder.name} {split}", total):
            labels.append(int(example[label]))
            given.append(GIVEN_SPLITS[split])
            yield example[image]


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
