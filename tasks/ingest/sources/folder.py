"""A folder with one folder a class; or with `train`, `validation`, `test` folders (any case) that hold them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pipeline_config.errors import DataError
from pipeline_config.section import Section
from tasks.ingest.found import Description, FoundImages
from tasks.ingest.image_size import first_size
from tasks.ingest.readable import readable
from tasks.ingest.split_names import split_called
from tasks.ingest.wording import name_them

LEFTOVERS = {"__MACOSX", "Thumbs.db", "desktop.ini"}  # hidden ones, as .ipynb_checkpoints, go by their dot


class Options(Section):
    """Options of a folder of images."""

    path: Path


def describe(options: Options) -> Description:
    """Classes and files; the size of the first image that can be opened.

    Raises:
        DataError: the folder is missing, may not be read, or holds no class folder with images.
    """
    found = _list(options.path)
    root = options.path.expanduser().absolute()
    return Description(found.class_names, first_size(root, found.table["path"]), len(found.table), found)


def list_images(options: Options, _storage: Path) -> FoundImages:
    """Every file below the class folders; leftovers of other programs are named in the notes and left out.

    Raises:
        DataError: the folder is missing, may not be read, or holds no class folder with images.
    """
    return _list(options.path)


def _list(path: Path) -> FoundImages:
    root = path.expanduser().absolute()
    with readable():
        return _list_root(root)


def _list_root(root: Path) -> FoundImages:
    if not root.is_dir():
        raise DataError(
            f"dataset.path: no folder {root}; put there one folder a class, or give another --set dataset.path"
        )
    left_out: list[str] = []
    folders = list(_class_folders(root, left_out))
    if not folders:
        raise DataError(f"dataset.path: {root} holds no folders; expected one folder a class with images in it")
    class_names = tuple(sorted({folder.name for _, folder in folders}))
    rows = [row for split, folder in folders for row in _rows(root, split, folder, left_out)]
    if not rows:
        raise DataError(
            f"dataset.path: the folders of {root} are empty; expected one folder a class with images in it, "
            f"received the folders {name_them(class_names)}; put images there, or give another --set dataset.path"
        )
    table = pd.DataFrame(rows, columns=["path", "class_name", "split"])
    table["label"] = table["class_name"].map({name: label for label, name in enumerate(class_names)}).astype("int64")
    table["source"] = "folder"
    notes = (f"left out, no images of a class: {', '.join(sorted(left_out))}",) if left_out else ()
    return FoundImages(table, class_names, root=root, notes=notes)


def _class_folders(root: Path, left_out: list[str]) -> Iterator[tuple[str | None, Path]]:
    """Given split (or None) and folder of each class, sorted.

    One class may be called `train`, among others; two folders with names of splits are splits, and what stands beside
    them is left out.
    """
    folders = _folders(root, root, left_out)
    splits = [folder for folder in folders if split_called(folder.name)]
    if len(splits) >= 2 or (splits and splits == folders):
        left_out.extend(folder.name for folder in folders if folder not in splits)
        for folder in splits:
            yield from ((split_called(folder.name), entry) for entry in _folders(root, folder, left_out))
    else:
        yield from ((None, folder) for folder in folders)


def _folders(root: Path, folder: Path, left_out: list[str]) -> list[Path]:
    """The folders in a folder, sorted; files beside them belong to no class and go to `left_out`."""
    entries = _entries(root, folder, left_out)
    left_out.extend(str(entry.relative_to(root)) for entry in entries if not entry.is_dir())
    return [entry for entry in entries if entry.is_dir()]


def _entries(root: Path, folder: Path, left_out: list[str]) -> list[Path]:
    """What stands in a folder, sorted; hidden and leftover names go to `left_out`, and names that are no text."""
    kept = []
    for entry in sorted(folder.iterdir()):
        name = os.fsencode(entry.relative_to(root)).decode(errors="backslashreplace")
        if entry.name.startswith(".") or entry.name in LEFTOVERS or name != str(entry.relative_to(root)):
            left_out.append(name)
        else:
            kept.append(entry)
    return kept


def _rows(root: Path, split: str | None, folder: Path, left_out: list[str]) -> Iterator[tuple[str, str, str | None]]:
    """Path, class and given split of every file at any depth below a class folder."""
    for entry in _entries(root, folder, left_out):
        if _is_loop(entry):
            left_out.append(str(entry.relative_to(root)))
        elif entry.is_dir():
            for path, _, _ in _rows(root, split, entry, left_out):
                yield path, folder.name, split
        else:
            yield os.fspath(entry.relative_to(root)), folder.name, split


def _is_loop(folder: Path) -> bool:
    """Whether a folder is a link to one that it stands in, which would be walked without end."""
    return folder.is_symlink() and folder.resolve() in {above.resolve() for above in folder.parents}
