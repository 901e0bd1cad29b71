"""A table of images: which columns are read, and what is said of a table that is none."""

from functools import partial

import pandas as pd
import pytest
from PIL import Image

from pipeline_config.errors import DataError
from pipeline_config.experiment import Dataset
from tasks.ingest.found import CORNERS, FRACTIONS
from tasks.ingest.listing import describe_dataset


def put_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), (200, 30, 40)).save(path)


@pytest.fixture
def list_with(list_with):
    """`list_with(…)`: as everywhere, of this source."""
    return partial(list_with, source="table")


@pytest.fixture
def data(tmp_path):
    """A folder with the images a.png, b.png and c.png."""
    for name in "abc":
        put_image(tmp_path / "data" / f"{name}.png")
    return tmp_path / "data"


@pytest.fixture
def list_rows(list_with, data):
    """`list_rows("path,label", "a.png,cat", …)`: as `list_with` of a CSV file of these lines."""

    def make(*lines, **section):
        (data / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return list_with(path=str(data / "table.csv"), **section)

    return make


def complaint(list_rows, *lines, **section):
    with pytest.raises(DataError) as caught:
        list_rows(*lines, **section)
    return str(caught.value)


def test_rows_are_images_with_the_classes_sorted(list_rows, data):
    listing, table = list_rows("path,label,comment", "b.png,owl,x", 'a.png,"ant, red",', "c.png,owl,y")
    assert listing.class_names == ("ant, red", "owl")
    assert (listing.root, listing.store, listing.notes) == (data, None, ())
    assert table["path"].tolist() == ["b.png", "a.png", "c.png"]
    assert table["label"].tolist() == [1, 0, 1]
    assert table["split"].isna().all()
    assert set(table) == {"source", "path", "label", "class_name", "split"}


@pytest.mark.parametrize(
    ("labels", "class_names"),
    [
        (("10", "9", "2"), ("2", "9", "10")),
        (("-1", "10", "2"), ("-1", "2", "10")),
        (("10", "9", "a"), ("10", "9", "a")),
        (("01", "1", "NA"), ("01", "1", "NA")),
        (("nan", "None", "null"), ("None", "nan", "null")),
        ((" cat", "cat ", "cat"), ("cat",)),
    ],
)
def test_labels_are_text_and_whole_numbers_keep_their_order(list_rows, labels, class_names):
    listing, _ = list_rows("path,label", *(f"{name}.png,{label}" for name, label in zip("abc", labels, strict=True)))
    assert listing.class_names == class_names


@pytest.mark.parametrize("labels", [[10, 9, 2], ["10", "9", "2"], pd.Categorical(["10", "9", "2"])])
def test_parquet_is_read_as_csv_is(list_with, data, labels):
    table = pd.DataFrame({"path": ["a.png", "b.png", "c.png"], "label": labels, "xmin": [0, 1, 2]})
    table.assign(ymin=0, xmax=6.0, ymax=[4, 4, None]).iloc[:2].to_parquet(data / "table.anything")
    listing, listed = list_with(path=str(data / "table.anything"))
    assert listing.class_names == ("9", "10")
    assert listed[list(CORNERS)].to_numpy().tolist() == [[0, 0, 6, 4], [1, 0, 6, 4]]


def test_columns_and_root_may_have_other_names(list_rows, tmp_path):
    put_image(tmp_path / "elsewhere" / "d.png")
    section = {
        "root": str(tmp_path / "elsewhere"),
        "path_column": "file",
        "label_column": "kind",
        "split_column": "part",
    }
    listing, table = list_rows("file,kind,part,split", "d.png,cat,test,nonsense", **section)
    assert listing.root == tmp_path / "elsewhere"
    assert table["split"].tolist() == ["test"]


def test_splits_are_taken_in_any_case_and_by_their_other_names(list_rows):
    _, table = list_rows("path,label,split", "a.png,x,TRAINING", "b.png,x,Val", "c.png,x,")
    assert table["split"].iloc[:2].tolist() == ["train", "validation"]
    assert table["split"].isna().tolist() == [False, False, True]


def test_fractions_and_pixels_are_told_apart(list_rows):
    boxes = {"box_x,box_y,box_width,box_height": FRACTIONS, "xmin,ymin,xmax,ymax": CORNERS}
    for written, columns in boxes.items():
        _, table = list_rows(f"path,label,{written}", "a.png,x,0.5,0,.25,1", "b.png,x,,,,")
        assert table.loc[0, list(columns)].tolist() == [0.5, 0.0, 0.25, 1.0]
        assert table.loc[1, list(columns)].isna().all()
        assert table[list(columns)].dtypes.eq("float64").all()


def test_box_of_no_size_or_outside_is_handed_over_as_it_is(list_rows):
    _, table = list_rows("path,label,xmin,ymin,xmax,ymax", "a.png,x,-5,3,-5,3000")
    assert table.loc[0, list(CORNERS)].tolist() == [-5, 3, -5, 3000]


def test_columns_of_half_a_box_are_noted(list_rows):
    listing, table = list_rows("path,label,xmin,xmax", "a.png,x,1,2")
    assert listing.notes == ("no boxes are read: of their columns the table has only xmin, xmax",)
    assert not set(CORNERS) & set(table)


def test_byte_order_mark_is_no_part_of_the_first_name(list_rows):
    assert list_rows("\ufefflabel,path", "01,a.png")[1]["class_name"].tolist() == ["01"]


def test_absolute_path_below_the_root_is_made_relative(list_rows, data):
    assert list_rows("path,label", f"{data}/a.png,x", "./b.png,x")[1]["path"].tolist() == ["a.png", "b.png"]


def test_description_tells_classes_rows_and_size(list_rows, data):
    list_rows("path,label", "gone.png,x", "a.png,y", "b.png,y")
    description = describe_dataset(Dataset(source="table", path=str(data / "table.csv"), min_images_per_class=2))
    assert (description.class_names, description.image_size, description.num_images) == (("y",), (4, 6), 2)


def test_missing_column_is_told_with_those_that_are_there(list_rows):
    message = complaint(list_rows, "file,label", "a.png,x")
    assert message.startswith("dataset.path_column: expected one column 'path' in ")
    assert message.endswith("received the columns file, label; give its name with --set dataset.path_column=NAME")
    assert "expected one column 'label'" in complaint(list_rows, "path,kind", "a.png,x")
    assert "received the columns path;label" in complaint(list_rows, "path;label", "a.png;x")
    assert "'part'" in complaint(list_rows, "path,label", "a.png,x", split_column="part")
    assert "expected one column 'label'" in complaint(list_rows, "path,label,label", "a.png,x,y")


@pytest.mark.parametrize("lines", [[], ["path,label"]])
def test_table_without_rows_is_told(list_rows, lines):
    assert "has no rows; expected one row an image" in complaint(list_rows, *lines)


def test_row_without_path_or_label_is_named_by_its_number(list_rows):
    message = complaint(list_rows, "path,label", "a.png,x", "b.png,", "c.png, ")
    assert message.startswith("dataset.label_column: expected a label in every row of column 'label', received none in")
    assert "in rows 2, 3 (" in message
    assert "a path in every row of column 'path', received none in row 2 (" in complaint(
        list_rows, "path,label", "a.png,x", ",y"
    )


def test_many_wrong_rows_are_named_in_part(list_rows):
    message = complaint(list_rows, "path,label", *(f"{number}.png," for number in range(1_000)))
    assert "in rows 1, 2, 3, 4, 5, and 995 more (" in message


def test_unknown_split_is_named_with_its_row(list_rows):
    message = complaint(list_rows, "path,label,split", "a.png,x,train", "b.png,x,holdout")
    assert "expected one of train, training, val, valid, validation, test, testing, in any case" in message
    assert "received 'holdout' in row 2 (" in message


def test_path_that_is_listed_twice_is_told(list_rows):
    message = complaint(list_rows, "path,label", "a.png,x", "b.png,x", "./a.png,y")
    assert "received one path twice: a.png, ./a.png; in rows 1, 3 (" in message


@pytest.mark.parametrize("box", ["1,2,3,wide", "1,2,3,"])
def test_box_that_is_no_numbers_is_named_with_its_row(list_rows, box):
    message = complaint(list_rows, "path,label,xmin,ymin,xmax,ymax", "a.png,x,,,,", f"b.png,x,{box}")
    assert "ymax" in message
    assert "row 2 (" in message


def test_root_below_which_no_image_is_found_is_told(list_rows, tmp_path):
    message = complaint(list_rows, "path,label", "a.png,x", root=str(tmp_path / "nowhere"))
    assert message.startswith(f"dataset.root: none of the table's images is below {tmp_path / 'nowhere'}")


def test_path_that_no_file_can_have_is_no_traceback(list_rows):
    _, table = list_rows("path,label", f"{'x' * 5_000},x", "a.png,x")
    assert len(table) == 2
    assert "in row 1 (" in complaint(list_rows, "path,label", "b\0.png,x", "a.png,x")


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\xff\xfe", b"PAR1 no more", b"path,label\na.png,x,y,z\n"])
def test_file_that_is_no_table_is_told(list_with, data, content):
    (data / "table.csv").write_bytes(content)
    with pytest.raises(
        DataError, match=r"dataset\.path: .*table\.csv is no table: .*; expected a Parquet file, or CSV"
    ):
        list_with(path=str(data / "table.csv"))


@pytest.mark.parametrize("path", ["missing.csv", "."])
def test_table_that_cannot_be_read_is_told(list_with, data, path):
    with pytest.raises(DataError, match=r"cannot be read: .*; expected a CSV or Parquet file"):
        list_with(path=str(data / path))
