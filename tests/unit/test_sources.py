"""What every data source keeps to, and what holds for a listing whatever its source."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Dataset
from tasks.images import ImageReader, decode
from tasks.ingest.found import CORNERS, FRACTIONS
from tasks.ingest.listing import describe_dataset, source_names
from tasks.manifest import SPLITS

pytestmark = pytest.mark.usefixtures("temporary_files")

COLUMNS = {"source", "label", "class_name", "split"}
SIZE = (6, 4)


def put_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, (200, 30, 40)).save(path)


# Every source; for each an example of a small data set that the function of its name makes in a folder.


def digits(_data):
    return {}


def shapes(_data):
    return {"classes": 3, "count": 7, "size": 16}


def folder(data):
    for name in ("train/owl/1.png", "test/owl/1.png", "train/ant/1.png"):
        put_image(data / name)
    return {"path": str(data)}


def table(data):
    for name in ("1.png", "2.png"):
        put_image(data / "images" / name)
    rows = "path,label,split,xmin,ymin,xmax,ymax\nimages/1.png,owl,Train,0,0,3,2\nimages/2.png,ant,test,,,,\n"
    (data / "labels.csv").write_text(rows)
    return {"path": str(data / "labels.csv")}


def voc(data):
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>6</xmax><ymax>4</ymax></bndbox>"
    for name in ("owl", "ant"):
        put_image(data / "images" / f"{name}.png")
        (data / "annotations").mkdir(exist_ok=True)
        xml = f"<annotation><filename>{name}.png</filename><object><name>{name}</name>{box}</object></annotation>"
        (data / "annotations" / f"{name}.xml").write_text(xml)
    return {"path": str(data)}


def tfds(data):
    import tensorflow_datasets as tfds

    class ContractBoxes(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(4, 6, 3), encoding_format="png"),
                "label": tfds.features.ClassLabel(names=["owl", "ant"]),
                "bbox": tfds.features.BBoxFeature(),
            }
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, _downloads):
            return {"train": self._generate_examples(3), "test": self._generate_examples(2)}

        def _generate_examples(self, count):
            box = tfds.features.BBox(ymin=0.25, xmin=0.0, ymax=1.0, xmax=0.5)
            for number in range(count):
                yield number, {"image": np.zeros((4, 6, 3), np.uint8), "label": number % 2, "bbox": box}

    ContractBoxes(data_dir=data).download_and_prepare()
    return {"name": "contract_boxes", "data_dir": str(data), "download": False}


EXAMPLES = {example.__name__: example for example in (digits, shapes, folder, table, voc, tfds)}


def test_every_source_has_an_example_here():
    assert set(source_names()) == set(EXAMPLES)


@pytest.fixture(scope="module", params=sorted(EXAMPLES))
def example(request, tmp_path_factory):
    """The section of an example, and the folder that holds its data."""
    data = tmp_path_factory.mktemp(request.param)
    return {"source": request.param, **EXAMPLES[request.param](data)}, data


def test_listing_of_any_source_keeps_the_contract(list_with, example):
    listing, table = list_with(**example[0])
    place = "path" if listing.store is None else "index"
    assert set(table) >= COLUMNS | {place}
    assert table[["source", place, "label", "class_name"]].notna().all(axis=None)
    assert not table[place].duplicated().any()
    assert [listing.class_names[label] for label in table["label"]] == table["class_name"].tolist()
    assert set(table["label"]) == set(range(len(listing.class_names)))
    assert set(table["split"].dropna()) <= set(SPLITS)
    json.dumps([listing.class_names, listing.notes])


def test_every_image_of_any_source_can_be_read(list_with, example):
    listing, table = list_with(**example[0])
    reader = ImageReader(listing.root, listing.store)
    for row in table.head(10).to_dict("records"):
        index = int(row["index"]) if "index" in row else None
        assert decode(reader.read(row.get("path"), index)).pixels.ndim == 3


def test_boxes_of_any_source_have_one_of_the_two_forms_and_lie_inside(list_with, example):
    _, table = list_with(**example[0])
    forms = [form for form in (FRACTIONS, CORNERS) if set(form) & set(table)]
    if example[0]["source"] in {"digits", "folder"}:
        assert not forms
        return
    assert len(forms) == 1
    boxes = table[list(forms[0])].dropna().astype("float64").to_numpy()
    assert len(boxes)
    if forms[0] == FRACTIONS:
        assert ((boxes >= 0) & (boxes <= 1)).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= 1).all()
    else:
        assert ((boxes[:, :2] >= 0) & (boxes[:, 2:] > boxes[:, :2]) & (boxes[:, 2:] <= SIZE)).all()


def test_any_source_is_described_as_it_is_listed(list_with, example):
    description = describe_dataset(Dataset(**example[0]))
    listing, table = list_with(**example[0])
    assert description.class_names == listing.class_names
    assert description.num_images == len(table)
    reader = ImageReader(listing.root, listing.store)
    first = decode(reader.read(table["path"][0] if "path" in table else None, 0 if "index" in table else None))
    assert first.pixels.shape[:2] == description.image_size


def test_any_source_can_be_narrowed(list_with, example):
    section = {**example[0], "max_classes": 1, "images_per_class": 1}
    listing, table = list_with(**section)
    assert len(listing.class_names) == 1
    assert set(table["label"]) == {0}
    assert (table["split"] != "test").sum() <= 1
    assert describe_dataset(Dataset(**section)).class_names == listing.class_names


def test_listing_twice_gives_the_same_and_leaves_the_data_alone(list_with, example):
    section, data = example
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    first, _ = list_with(**section)
    content = first.path.read_bytes()
    again, _ = list_with(**section)
    assert first == again
    assert again.path.read_bytes() == content
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


def test_store_of_any_source_is_written_once(list_with, example):
    first, _ = list_with(**example[0])
    if first.store is None:
        return
    written = first.store.stat()
    again, _ = list_with(**example[0])
    assert (again.store.stat().st_ino, again.store.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


def test_store_that_is_not_whole_is_written_anew(list_with, example):
    listing, table = list_with(**example[0])
    if listing.store is None:
        return
    whole = listing.store.read_bytes()
    for leave in (listing.store.unlink, lambda: listing.store.write_bytes(whole[:-8]), lambda: _drop_beside(listing)):
        leave()
        _, again = list_with(**example[0])
        assert listing.store.read_bytes() == whole
        pd.testing.assert_frame_equal(again, table)


def _drop_beside(listing):
    listing.store.with_suffix(".parquet").write_bytes(b"half")


def test_option_that_a_source_does_not_know_is_refused(list_with):
    with pytest.raises(ConfigurationError, match=r"dataset\.path: unknown key; allowed here: .*image_size.*, source"):
        list_with(source="digits", path="somewhere")


# Digits


def test_there_are_1797_digits_in_ten_classes(list_with):
    listing, table = list_with(source="digits")
    assert len(table) == 1_797
    assert listing.class_names == tuple("0123456789")
    assert COLUMNS | {"index"} == set(table.columns)
    assert table["split"].isna().all()


def test_digits_keep_their_grey_levels(list_with):
    from sklearn.datasets import load_digits

    listing, table = list_with(source="digits")
    digits = load_digits()
    reader = ImageReader(listing.root, listing.store)
    for row in (0, 1_000, 1_796):
        pixels = decode(reader.read(None, int(table["index"][row]))).pixels
        np.testing.assert_allclose(pixels[..., 0], digits.images[row] * 255 / 16, atol=0.5)
        assert table["label"][row] == digits.target[row]
