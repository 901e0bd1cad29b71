"""Photos with Pascal VOC annotations: one XML file an image, which names its objects and their boxes.

VOC's boxes are pixels from 1 with right and bottom included (Everingham & Winn, The PASCAL VOC2012 Development Kit,
section 4.2). A left or top of 0, which tools that count from 0 write, is taken as the image's edge too.
"""

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pandas as pd

from pipeline_config.errors import DataError
from pipeline_config.section import Section
from tasks.ingest.found import CORNERS, Description, FoundImages
from tasks.ingest.image_size import first_size
from tasks.ingest.objects import Policy, choose_objects
from tasks.ingest.readable import readable
from tasks.ingest.split_names import split_called
from tasks.ingest.wording import name_them

IMAGE_EXTENSIONS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
_IMAGE_FOLDERS = ("jpegimages", "images")
_COLUMNS = ["image", "stem", "class_name", *CORNERS, "listed_width", "listed_height", "area"]


class Options(Section):
    """Options of a folder with VOC annotations; `objects` says what becomes of an image with several."""

    path: Path
    objects: Policy = "largest"


class _Folders(NamedTuple):
    root: Path
    annotations: Path
    images: Path


class _Images(NamedTuple):
    names: frozenset[str]
    by_stem: dict[str, str]


class _Unreadable(Exception):
    """Why an annotation cannot be used, in a few words."""


def describe(options: Options) -> Description:
    """Classes and images with an object; the size of the first image that can be opened.

    Raises:
        DataError: as `list_images` does.
    """
    found = _list(options)
    root = options.path.expanduser().absolute()
    return Description(found.class_names, first_size(root, found.table["path"]), len(found.table), found)


def list_images(options: Options, _storage: Path) -> FoundImages:
    """Every annotated image with an object, its class and its box; the notes name what is left out, and why.

    Raises:
        DataError: no folder, no annotation that can be read, none with an object, or two of one image.
    """
    return _list(options)


def _list(options: Options) -> FoundImages:
    with readable():
        folders = _find_folders(options.path.expanduser().absolute())
        return _list_folders(folders, options)


def _list_folders(folders: _Folders, options: Options) -> FoundImages:
    names = sorted(path.name for path in folders.images.iterdir() if path.suffix.lower() in IMAGE_EXTENSIONS)
    objects, notes = _read_all(folders, _Images(frozenset(names), {Path(name).stem: name for name in reversed(names)}))
    chosen = choose_objects(objects, options.objects)
    if chosen.table.empty:
        raise DataError(f"dataset.path: no image in {folders.root} is left; {'; '.join(chosen.notes)}")
    splits, split_notes = _given_splits(folders, set(objects["stem"]))
    class_names = tuple(sorted(set(chosen.table["class_name"])))
    within = folders.images.relative_to(folders.root)
    table = chosen.table.assign(
        source="voc",
        path=[str(within / name) for name in chosen.table["image"]],
        label=chosen.table["class_name"].map({name: label for label, name in enumerate(class_names)}).astype("int64"),
        split=chosen.table["stem"].map(splits).astype("object"),
    ).drop(columns=["image", "stem"])
    return FoundImages(table, class_names, root=folders.root, notes=(*notes, *chosen.notes, *split_notes))


def _find_folders(root: Path) -> _Folders:
    """`annotations` beside `images` or `JPEGImages`, in any case; or all in one folder."""
    if not root.is_dir():
        raise DataError(
            f"dataset.path: no folder {root}; put there annotations/ and images/, or give another --set dataset.path"
        )
    inside = {entry.name.lower(): entry for entry in sorted(root.iterdir()) if entry.is_dir()}
    images = next((inside[name] for name in _IMAGE_FOLDERS if name in inside), root)
    return _Folders(root, inside.get("annotations", root), images)


def _read_all(folders: _Folders, images: _Images) -> tuple[pd.DataFrame, list[str]]:
    """Every object of every annotation that can be read, and notes on what is left out."""
    files = sorted(path for path in folders.annotations.iterdir() if path.suffix.lower() == ".xml")
    rows: list[list[Any]] = []
    broken = []
    described: dict[str, str] = {}
    for file in files:
        try:
            found = list(_read_annotation(file, images))
        except _Unreadable as error:
            broken.append(f"{file.name} ({error})")
            continue
        _refuse_second(described, found[0][0], file.name)
        rows += found
    if not rows:
        reason = f"received {name_them(broken, 5)}" if broken else "received no XML file"
        raise DataError(f"dataset.path: no annotation in {folders.annotations} can be read; {reason}")
    alone = sorted(images.names - set(described))
    notes = [f"left out, annotation cannot be used: {name_them(broken)}"] if broken else []
    notes += [f"left out, no annotation: {name_them(alone)}"] if alone else []
    return pd.DataFrame(rows, columns=_COLUMNS).astype({"listed_width": "Int64", "listed_height": "Int64"}), notes


def _refuse_second(described: dict[str, str], image: str, file: str) -> None:
    other = described.setdefault(image, file)
    if other != file:
        raise DataError(
            f"dataset.path: expected one annotation an image, received {other} and {file} for {image}; "
            "mend the <filename> in one of them, or remove one"
        )


def _read_annotation(file: Path, images: _Images) -> Iterator[list[Any]]:
    """One row an object, or one row without a class where there is none."""
    root = _parse(file)
    opening = [_find_image(root, file, images), file.stem]
    size = [_whole(root.findtext(f"size/{side}")) for side in ("width", "height")]
    objects = root.findall("object")
    for node in objects:
        left, top, right, bottom = _corners(node)
        area = max(right - left, 0) * max(bottom - top, 0)
        yield [*opening, _class_name(node), left, top, right, bottom, *size, area]
    if not objects:
        yield [*opening, None, *[math.nan] * 4, *size, 0.0]


class _NoDoctype(ElementTree.TreeBuilder):
    """Builds the tree of a document that declares nothing: a declaration can make a small file fill the memory."""

    def doctype(self, *_declared: str | None) -> None:
        """Called as soon as one begins."""
        raise _Unreadable("it declares a DOCTYPE, which annotations do not need")


def _parse(file: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(file.read_bytes(), ElementTree.XMLParser(target=_NoDoctype()))
    except ElementTree.ParseError as error:
        raise _Unreadable(f"no XML: {error}") from None
    except OSError as error:
        raise _Unreadable(f"cannot be read: {error.strerror}") from None
    except (ValueError, LookupError) as error:  # of an encoding that Python does not know
        raise _Unreadable(f"no XML: {error}") from None


def _find_image(root: ElementTree.Element, file: Path, images: _Images) -> str:
    """The file that `<filename>` names, whatever folder it names; else the one called as the annotation."""
    named = PurePosixPath((root.findtext("filename") or "").strip().replace("\\", "/")).name
    if named in images.names:
        return named
    found = images.by_stem.get(file.stem)
    if found is None:
        raise _Unreadable(f"no image {named or file.stem}")
    return found


def _class_name(node: ElementTree.Element) -> str:
    name = (node.findtext("name") or "").strip()
    if not name:
        raise _Unreadable("an object without a name")
    return name


def _corners(node: ElementTree.Element) -> list[float]:
    """Left, top, right, bottom in pixels from 0, right and bottom exclusive."""
    xmin, ymin, xmax, ymax = (_number(node.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
    return [xmin - 1 if xmin != 0 else 0.0, ymin - 1 if ymin != 0 else 0.0, xmax, ymax]


def _number(text: str | None) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _Unreadable(f"an object whose box has {text!r} for a number")
    return number


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdecimal() else None


def _given_splits(folders: _Folders, stems: set[str]) -> tuple[dict[str, str], list[str]]:
    """Given split of each annotation, from the lists in `ImageSets/Main`; and a note on what they name in vain.

    Raises:
        DataError: an image is in two of the lists.
    """
    splits: dict[str, str] = {}
    for file in sorted((folders.root / "ImageSets" / "Main").glob("*.txt")):
        split = split_called(file.stem)
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if split else []:
            if (words := line.split()) and splits.setdefault(words[0], str(split)) != split:
                raise DataError(
                    f"dataset.path: {words[0]} is listed for {splits[words[0]]} and for {split} in {file.parent}; "
                    "expected each image in one list"
                )
    absent = sorted(set(splits) - stems)
    return splits, [f"listed in ImageSets/Main, but not annotated: {name_them(absent)}"] if absent else []
