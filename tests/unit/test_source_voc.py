"""Pascal VOC annotations: which object counts, where its box lies, and what is said of those that are broken."""

import time
from functools import partial

import pytest
from PIL import Image

from pipeline_config.errors import DataError
from pipeline_config.experiment import Dataset
from tasks.ingest.found import CORNERS
from tasks.ingest.listing import describe_dataset


def put_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40), (200, 30, 40)).save(path)


@pytest.fixture
def list_with(list_with):
    """`list_with(…)`: as everywhere, of this source."""
    return partial(list_with, source="voc")


def annotation(*objects, filename="", size=(60, 40)):
    """`annotation(("cat", 1, 1, 60, 40))`: the XML of an image with these objects."""
    described = "".join(
        f"<object><name>{name}</name><part><name>head</name><bndbox><xmin>7</xmin></bndbox></part><bndbox>"
        f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>"
        for name, xmin, ymin, xmax, ymax in objects
    )
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    return f"<annotation><filename>{filename}</filename>{stated}{described}</annotation>"


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def put(data):
    """`put("1", xml)`: an image 1.png with its annotation."""

    def write(stem, xml):
        put_image(data / "images" / f"{stem}.png")
        (data / "annotations").mkdir(exist_ok=True)
        (data / "annotations" / f"{stem}.xml").write_bytes(xml if isinstance(xml, bytes) else xml.encode())

    return write


def test_image_has_the_class_and_box_of_its_object(list_with, put, data):
    put("1", annotation(("dog", 1, 1, 60, 40)))
    put("2", annotation(("cat", 11, 6, 20.5, 10)))
    listing, table = list_with(path=str(data))
    assert (listing.class_names, listing.root, listing.store, listing.notes) == (("cat", "dog"), data, None, ())
    assert table["path"].tolist() == ["images/1.png", "images/2.png"]
    assert table["class_name"].tolist() == ["dog", "cat"]
    assert table["label"].tolist() == [1, 0]
    assert table[list(CORNERS)].to_numpy().tolist() == [[0, 0, 60, 40], [10, 5, 20.5, 10]]
    assert table[["listed_width", "listed_height"]].to_numpy().tolist() == [[60, 40], [60, 40]]
    assert table["split"].isna().all()


def test_box_that_begins_at_0_begins_at_the_edge_and_others_stay_as_they_are(list_with, put, data):
    put("1", annotation(("cat", 0, 0, 59, 39)))
    put("2", annotation(("cat", 0, 0, 0, 0)))
    put("3", annotation(("cat", -5, 50, 3, 20)))
    _, table = list_with(path=str(data))
    assert table[list(CORNERS)].to_numpy().tolist() == [[0, 0, 59, 39], [0, 0, 0, 0], [-6, 49, 3, 20]]


def test_size_that_is_not_stated_is_null(list_with, put, data):
    put("1", annotation(("cat", 1, 1, 2, 2), size=None))
    put("2", annotation(("cat", 1, 1, 2, 2), size=(0, "unknown")))
    _, table = list_with(path=str(data))
    assert table["listed_width"].isna().tolist() == [True, False]
    assert table["listed_height"].isna().all()


@pytest.fixture
def several(put, data):
    """Images with one object, with three, with two of one size, and with none."""
    put("one", annotation(("cat", 1, 1, 2, 2)))
    put("three", annotation(("cat", 1, 1, 2, 2), ("dog", 1, 1, 9, 9), ("owl", 1, 9, 1, 40)))
    put("equal", annotation(("dog", 1, 1, 2, 2), ("cat", 3, 3, 4, 4)))
    put("none", annotation())
    return str(data)


def test_largest_of_several_objects_counts_and_of_equal_ones_the_first(list_with, several):
    listing, table = list_with(path=several)
    assert table["path"].tolist() == ["images/equal.png", "images/one.png", "images/three.png"]
    assert table["class_name"].tolist() == ["dog", "cat", "dog"]
    assert table.set_index("path").loc["images/three.png", list(CORNERS)].tolist() == [0, 0, 9, 9]
    assert listing.class_names == ("cat", "dog")
    assert listing.notes == ("left out, no object of a known class: none.png",)


def test_images_with_several_objects_can_be_left_out(list_with, several):
    listing, table = list_with(path=several, objects="skip")
    assert table["path"].tolist() == ["images/one.png"]
    assert listing.notes == (
        "left out, several objects: equal.png, three.png",
        "left out, no object of a known class: none.png",
    )


def test_nothing_but_images_without_an_object_is_told(list_with, put, data):
    put("none", annotation())
    with pytest.raises(DataError, match=r"no image in .*data is left; left out, no object of a known class: none\.png"):
        list_with(path=str(data))


@pytest.mark.parametrize(
    ("annotations", "images"),
    [("Annotations", "JPEGImages"), ("ANNOTATIONS", "Images"), (".", "."), ("annotations", ".")],
)
def test_folders_are_found_in_any_case_or_all_in_one(list_with, data, annotations, images):
    put_image(data / images / "1.jpg")
    (data / annotations).mkdir(exist_ok=True)
    (data / annotations / "1.xml").write_text(annotation(("cat", 1, 1, 2, 2)))
    (data / annotations / "notes.txt").write_text("by hand")
    listing, table = list_with(path=str(data))
    assert (listing.root / table["path"][0]).samefile(data / images / "1.jpg")
    assert listing.notes == ()


@pytest.mark.parametrize(
    "filename", ["other.PNG", "/Users/somebody/other.PNG", "C:\\data\\other.PNG", "../../other.PNG"]
)
def test_image_is_found_by_its_file_name_without_the_folder(list_with, data, filename):
    put_image(data / "images" / "other.PNG")
    (data / "annotations").mkdir()
    (data / "annotations" / "1.xml").write_text(annotation(("cat", 1, 1, 2, 2), filename=filename))
    assert list_with(path=str(data))[1]["path"].tolist() == ["images/other.PNG"]


def test_image_is_found_by_the_name_of_its_annotation(list_with, put, data):
    put("1", annotation(("cat", 1, 1, 2, 2), filename="renamed.jpg"))
    assert list_with(path=str(data))[1]["path"].tolist() == ["images/1.png"]


def test_image_without_annotation_is_noted(list_with, put, data):
    put("1", annotation(("cat", 1, 1, 2, 2)))
    put_image(data / "images" / "2.png")
    assert list_with(path=str(data))[0].notes == ("left out, no annotation: 2.png",)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("<annotation><object>", "no XML: no element found: line 1, column 20"),
        ("", "no XML: no element found: line 1, column 0"),
        (b"\xff\xfe\x00", "no XML: "),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "no XML: unknown encoding: klingon"),
        (annotation(("", 1, 1, 2, 2)), "an object without a name"),
        (annotation(("cat", 1, "many", 2, 2)), "an object whose box has 'many' for a number"),
        (annotation(("cat", 1, "nan", 2, 2)), "an object whose box has 'nan' for a number"),
        ("<annotation><object><name>cat</name></object></annotation>", "an object whose box has None for a number"),
    ],
)
def test_broken_annotation_is_noted_with_the_reason(list_with, put, data, broken, reason):
    put("1", annotation(("cat", 1, 1, 2, 2)))
    put("2", broken)
    listing, table = list_with(path=str(data))
    assert len(table) == 1
    assert listing.notes[0].startswith(f"left out, annotation cannot be used: 2.xml ({reason}")


def test_annotation_whose_image_is_missing_is_noted(list_with, put, data):
    put("1", annotation(("cat", 1, 1, 2, 2)))
    (data / "annotations" / "2.xml").write_text(annotation(("cat", 1, 1, 2, 2), filename="two.jpg"))
    assert list_with(path=str(data))[0].notes == ("left out, annotation cannot be used: 2.xml (no image two.jpg)",)


BOMB = (
    '<!DOCTYPE a [<!ENTITY e0 "ha">'
    + "".join(f'<!ENTITY e{level} "{f"&e{level - 1};" * 10}">' for level in range(1, 10))
    + "]><annotation><filename>&e9;</filename></annotation>"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp037"])
def test_annotation_that_declares_entities_is_refused_before_they_are_expanded(list_with, put, data, encoding):
    put("1", annotation(("cat", 1, 1, 2, 2)))
    opening = b'<?xml version="1.0" encoding="cp037"?>' if encoding == "cp037" else b""
    put("2", opening + BOMB.encode(encoding))
    started = time.perf_counter()
    notes = list_with(path=str(data))[0].notes
    assert time.perf_counter() - started < 2
    assert notes[0].startswith("left out, annotation cannot be used: 2.xml (")
    if encoding != "cp037":
        assert "it declares a DOCTYPE" in notes[0]


def test_annotation_that_would_read_a_file_is_refused(list_with, put, data, tmp_path):
    (tmp_path / "secret").write_text("secret")
    put("1", annotation(("cat", 1, 1, 2, 2)))
    put("2", f'<!DOCTYPE a [<!ENTITY e SYSTEM "{tmp_path}/secret">]>{annotation(("&e;", 1, 1, 2, 2))}')
    listing, _ = list_with(path=str(data))
    assert listing.class_names == ("cat",)
    assert "it declares a DOCTYPE" in listing.notes[0]


@pytest.mark.parametrize("kind", ["missing", "empty", "broken", "no images"])
def test_folder_without_an_annotation_that_can_be_read_is_told(list_with, data, put, kind):
    if kind == "empty":
        data.mkdir()
    elif kind != "missing":
        put("1", "<annotation>" if kind == "broken" else annotation(("cat", 1, 1, 2, 2)))
    if kind == "no images":
        (data / "images" / "1.png").unlink()
    with pytest.raises(DataError) as caught:
        list_with(path=str(data))
    assert str(caught.value).startswith("dataset.path: no ")
    assert str(data) in str(caught.value)
    expected = {"missing": "put there annotations/ and images/", "empty": "received no XML file", "broken": "no XML: "}
    assert expected.get(kind, "1.xml (no image 1)") in str(caught.value)


def test_two_annotations_of_one_image_are_told(list_with, put, data):
    put("1", annotation(("cat", 1, 1, 2, 2)))
    put("2", annotation(("dog", 1, 1, 2, 2), filename="1.png"))
    with pytest.raises(DataError, match=r"received 1\.xml and 2\.xml for 1\.png"):
        list_with(path=str(data))


@pytest.fixture
def put_list(data):
    def write(name, *stems):
        (data / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        (data / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(stems) + "\n")

    return write


def test_lists_of_images_are_given_splits(list_with, put, put_list, data):
    for number in "1234":
        put(number, annotation(("cat", 1, 1, 2, 2)))
    put_list("train", "1")
    put_list("val", "2 ", "")
    put_list("test", "3  1", "9")
    put_list("trainval", "1", "2")
    put_list("cat_test", "1 -1", "2 1")
    listing, table = list_with(path=str(data))
    assert table["split"].iloc[:3].tolist() == ["train", "validation", "test"]
    assert table["split"].isna().tolist() == [False, False, False, True]
    assert listing.notes == ("listed in ImageSets/Main, but not annotated: 9",)


def test_image_in_two_lists_is_told(list_with, put, put_list, data):
    put("1", annotation(("cat", 1, 1, 2, 2)))
    put_list("train", "1")
    put_list("test", "1")
    with pytest.raises(DataError, match="1 is listed for test and for train"):
        list_with(path=str(data))


def test_description_counts_what_is_listed(several):
    description = describe_dataset(Dataset(source="voc", path=several, class_names={"dog": "wolf"}))
    assert (description.class_names, description.image_size, description.num_images) == (("cat", "wolf"), (40, 60), 3)


@pytest.mark.parametrize(("objects", "images"), [("largest", 200), ("skip", 184)])
def test_raccoons_have_their_boxes_inside_their_images(list_with, real_data, objects, images):
    listing, table = list_with(path=str(real_data("raccoon")), objects=objects)
    assert len(table) == images
    assert listing.class_names == ("raccoon",)
    assert (table[["box_left", "box_top"]] >= 0).all(axis=None)
    assert (table["box_left"] < table["box_right"]).all()
    assert (table["box_top"] < table["box_bottom"]).all()
    assert (table["box_right"] <= table["listed_width"]).all()
    assert (table["box_bottom"] <= table["listed_height"]).all()
    assert table[["box_left", "box_top"]].min().tolist() == [0, 0]
