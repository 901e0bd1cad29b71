"""A CSV or Parquet file with one row an image: its place and class, and where there are such columns its split and box.

Columns `box_x, box_y, box_width, box_height` are fractions of the image, top-left corner first. Columns `xmin, ymin,
xmax, ymax`, as annotation tools write them, are corners in pixels from 0, right and bottom exclusive.
"""

import csv
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from pipeline_config.errors import DataError
from pipeline_config.section import Section
from tasks.ingest.found import CORNERS, FRACTIONS, Description, FoundImages
from tasks.ingest.image_size import first_size
from tasks.ingest.split_names import EXPECTED, split_called
from tasks.ingest.wording import name_them

_PIXELS = ("xmin", "ymin", "xmax", "ymax")
_ROWS_NAMED = 5


class Options(Section):
    """Options of a table of images; `root` is the folder that the paths start from, by default the table's own."""

    path: Path
    root: Path | None = None
    path_column: str = "path"
    label_column: str = "label"
    split_column: str = "split"


def describe(options: Options) -> Description:
    """Classes and rows; the size of the first image that can be opened.

    Raises:
        DataError: as `list_images` does.
    """
    found = _list(options)
    return Description(found.class_names, first_size(_root(options), found.table["path"]), len(found.table), found)


def list_images(options: Options, _storage: Path) -> FoundImages:
    """Every row; class names are the labels as text, in numerical order where all are whole numbers.

    Raises:
        DataError: no such table, columns or rows, a row that lacks its path or label or has an unknown split, or two
            rows of one image.
    """
    return _list(options)


def _list(options: Options) -> FoundImages:
    rows = _read(options.path.expanduser().absolute())
    _check_columns(rows, options)
    labels = _labels(rows, options)
    class_names = _class_names(labels)
    table = pd.DataFrame(
        {
            "source": "table",
            "path": _paths(rows, options),
            "label": labels.map({name: label for label, name in enumerate(class_names)}).astype("int64"),
            "class_name": labels,
            "split": _splits(rows, options),
        }
    )
    boxes, notes = _boxes(rows)
    return FoundImages(pd.concat([table, boxes], axis="columns"), class_names, root=_root(options), notes=notes)


def _root(options: Options) -> Path:
    return (options.root or options.path.parent).expanduser().absolute()


def _read(path: Path) -> pd.DataFrame:
    """The table; from CSV every value is text, and what is empty is null, so that a class may be called NA."""
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        read = _read_parquet if is_parquet else _read_csv
        rows = read(path)
    except OSError as error:
        raise DataError(
            f"dataset.path: {path} cannot be read: {error.strerror or error}; expected a CSV or Parquet file"
        ) from None
    except (pa.ArrowException, csv.Error, UnicodeDecodeError) as error:
        raise DataError(
            f"dataset.path: {path} is no table: {' '.join(str(error).split())}; expected a Parquet file, or CSV in "
            "UTF-8 with commas"
        ) from None
    if rows.empty:
        raise DataError(f"dataset.path: {path} has no rows; expected one row an image below the names of the columns")
    return rows


def _read_parquet(path: Path) -> pd.DataFrame:
    rows: pd.DataFrame = pq.read_table(path).to_pandas(ignore_metadata=True)
    return rows


def _read_csv(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file), [])
    if not names:
        return pd.DataFrame()
    as_text = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
    )
    rows: pd.DataFrame = pa_csv.read_csv(path, convert_options=as_text).to_pandas()
    return rows


def _check_columns(rows: pd.DataFrame, options: Options) -> None:
    asked = {"path_column": options.path_column, "label_column": options.label_column}
    if "split_column" in options.model_fields_set:
        asked["split_column"] = options.split_column
    for option, name in asked.items():
        if list(rows.columns).count(name) != 1:
            raise DataError(
                f"dataset.{option}: expected one column '{name}' in {options.path}, received the columns "
                f"{name_them(rows.columns)}; give its name with --set dataset.{option}=NAME"
            )


def _labels(rows: pd.DataFrame, options: Options) -> pd.Series:
    return _text(rows[options.label_column], "label_column", "a label")


def _text(column: pd.Series, option: str, what: str) -> pd.Series:
    """The column as text without blanks around it, no row without a value."""
    text = column.astype("str").str.strip()
    missing = column.isna() | (text == "")
    _refuse(missing, f"dataset.{option}: expected {what} in every row of column '{column.name}', received none in")
    return text


def _class_names(labels: pd.Series) -> tuple[str, ...]:
    names = set(labels)
    if all(name.removeprefix("-").isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _paths(rows: pd.DataFrame, options: Options) -> pd.Series:
    """Relative to the root, each once; one image in two ways of writing, as `a.png` and `./a.png`, is told too."""
    root = _root(options)
    written = _text(rows[options.path_column], "path_column", "a path")
    impossible = written.str.contains("\0", regex=False)
    _refuse(impossible, "dataset.path: expected paths of files, received one with a character of code 0 in")
    paths = written.map(lambda path: os.path.relpath(root / path, root))
    twice = paths.duplicated(keep=False)
    _refuse(
        twice, f"dataset.path: expected one row an image, received one path twice: {name_them(written[twice], 2)}; in"
    )
    if not any(os.path.exists(root / path) for path in paths):  # noqa: PTH110 - Path.exists fails where a name is too long
        raise DataError(
            f"dataset.root: none of the table's images is below {root}, as {root / paths.iloc[0]}; "
            "give the folder that the paths start from with --set dataset.root=FOLDER"
        )
    return paths


def _splits(rows: pd.DataFrame, options: Options) -> pd.Series:
    """train, validation or test; None where the table gives no split."""
    if options.split_column not in rows:
        return pd.Series(None, index=rows.index, dtype="object")
    given = rows[options.split_column]
    known = given.map(lambda name: split_called(str(name)), na_action="ignore")
    unknown = given.notna() & known.isna()
    received = name_them((f"'{name}'" for name in given[unknown].unique()), _ROWS_NAMED)
    _refuse(unknown, f"dataset.split_column: expected one of {EXPECTED}, in any case; received {received} in")
    return known.astype("object").where(known.notna(), None)


def _boxes(rows: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The box columns of the one form or the other, or none; and a note where some of a form's columns are missing."""
    for written, names in ((FRACTIONS, FRACTIONS), (_PIXELS, CORNERS)):
        if set(written) <= set(rows.columns):
            numbers = [_numbers(rows[name]) for name in written]
            boxes = pd.concat(numbers, axis="columns", keys=names)
            some = boxes.isna().any(axis="columns") & boxes.notna().any(axis="columns")
            _refuse(some, f"dataset.path: expected all of {', '.join(written)} or none of them, received some in")
            return boxes, ()
    partial = [name for name in (*FRACTIONS, *_PIXELS) if name in rows]
    note = f"no boxes are read: of their columns the table has only {', '.join(partial)}"
    return pd.DataFrame(index=rows.index), (note,) if partial else ()


def _numbers(column: pd.Series) -> pd.Series:
    """float64; null where there is no value."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    wrong = column.notna() & numbers.isna()
    _refuse(wrong, f"dataset.path: expected numbers in the column '{column.name}', received something else in")
    return numbers


def _refuse(wrong: pd.Series, sentence: str) -> None:
    """Raise the sentence with the numbers of the rows, if there are such rows."""
    if wrong.any():
        rows = [position + 1 for position, is_wrong in enumerate(wrong) if is_wrong]
        named = name_them(rows, _ROWS_NAMED)
        raise DataError(f"{sentence} row{'s' if len(rows) > 1 else ''} {named} (counted from 1, without the names)")
