"""A folder of class folders: which images are found, with which labels and given splits, and what is said of none."""

import contextlib
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from pipeline_config.errors import DataError
from pipeline_config.experiment import Dataset
from tasks.images import ImageReader, decode
from tasks.ingest.listing import describe_dataset

COLUMNS = {"source", "label", "class_name", "split"}


def put_image(path, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 30, 40)).save(path)


@pytest.fixture
def root(tmp_path):
    """Two classes of two images."""
    for name in ("owl/1.png", "owl/2.png", "ant/1.png", "ant/2.png"):
        put_image(tmp_path / "data" / name)
    return tmp_path / "data"


def files(table):
    return dict(zip(table["path"], table["class_name"], strict=True))


def test_folders_are_classes_in_the_order_of_their_names(list_with, root):
    put_image(root / "Bee" / "1.png")
    listing, table = list_with(source="folder", path=str(root))
    assert listing.class_names == ("Bee", "ant", "owl")
    assert files(table) == {
        "Bee/1.png": "Bee", "ant/1.png": "ant", "ant/2.png": "ant", "owl/1.png": "owl", "owl/2.png": "owl",
    }  # fmt: skip
    assert table["label"].tolist() == [0, 1, 1, 2, 2]
    assert COLUMNS | {"path"} == set(table.columns)
    assert table["split"].isna().all()
    assert (listing.root, listing.store, listing.notes) == (root, None, ())


def test_description_of_a_folder_opens_one_image(root):
    description = describe_dataset(Dataset(source="folder", path=str(root)))
    assert (description.class_names, description.image_size, description.num_images) == (("ant", "owl"), (4, 6), 4)


def test_size_is_that_of_the_first_image_that_can_be_opened(root):
    (root / "ant" / "0.png").write_bytes(b"no image")
    assert describe_dataset(Dataset(source="folder", path=str(root))).image_size == (4, 6)


def test_size_is_not_known_where_no_image_can_be_opened(tmp_path):
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant" / "1.png").write_bytes(b"no image")
    assert describe_dataset(Dataset(source="folder", path=str(tmp_path))).image_size is None


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "validation", "test"), ["test", "train", "validation"]),
        (("Train", "Test"), ["test", "train"]),
        (("TRAINING", "Valid", "TESTING"), ["test", "train", "validation"]),
        (("train", "val"), ["train", "validation"]),
    ],
)
def test_given_splits_are_taken_in_any_case(list_with, tmp_path, names, splits):
    for name in names:
        put_image(tmp_path / "data" / name / "owl" / "1.png")
        put_image(tmp_path / "data" / name / "ant" / "1.png")
    listing, table = list_with(source="folder", path=str(tmp_path / "data"))
    assert listing.class_names == ("ant", "owl")
    assert sorted(set(table["split"])) == splits
    assert Counter(table["class_name"]) == {"ant": len(names), "owl": len(names)}
    in_test = table[table["path"].str.lower().str.startswith("test")]
    assert (in_test["split"] == "test").all()


def test_class_that_one_split_lacks_keeps_its_label(list_with, tmp_path):
    for name in ("train/ant", "train/owl", "test/owl"):
        put_image(tmp_path / "data" / name / "1.png")
    _, table = list_with(source="folder", path=str(tmp_path / "data"))
    assert table.set_index("path")["label"].to_dict() == {
        "test/owl/1.png": 1, "train/ant/1.png": 0, "train/owl/1.png": 1,
    }  # fmt: skip


@pytest.mark.parametrize("leftover", ["__MACOSX/1.png", ".ipynb_checkpoints/1.png", ".git/1.png"])
def test_leftover_folder_is_noted_and_no_class(list_with, root, leftover):
    put_image(root / leftover)
    listing, table = list_with(source="folder", path=str(root))
    assert listing.class_names == ("ant", "owl")
    assert len(table) == 4
    assert listing.notes == (f"left out, no images of a class: {Path(leftover).parent}",)


@pytest.mark.parametrize("leftover", ["owl/Thumbs.db", "ant/.DS_Store", "owl/desktop.ini", "owl/.thumbnails/1.png"])
def test_leftover_in_a_class_is_noted_and_no_image(list_with, root, leftover):
    (root / leftover).parent.mkdir(exist_ok=True)
    (root / leftover).write_bytes(b"leftover")
    listing, table = list_with(source="folder", path=str(root))
    assert len(table) == 4
    noted = "owl/.thumbnails" if "thumbnails" in leftover else leftover
    assert listing.notes == (f"left out, no images of a class: {noted}",)


def test_leftover_beside_given_splits_does_not_turn_them_into_classes(list_with, tmp_path):
    for name in ("Train/owl", "Test/owl", "__MACOSX/Train"):
        put_image(tmp_path / "data" / name / "1.png")
    listing, table = list_with(source="folder", path=str(tmp_path / "data"))
    assert listing.class_names == ("owl",)
    assert sorted(table["split"]) == ["test", "train"]


@pytest.mark.parametrize("loose", ["loose.png", "train/loose.png"])
def test_image_beside_the_class_folders_is_noted(list_with, tmp_path, loose):
    for name in ("train/owl", "test/owl"):
        put_image(tmp_path / "data" / name / "1.png")
    put_image(tmp_path / "data" / loose)
    listing, table = list_with(source="folder", path=str(tmp_path / "data"))
    assert len(table) == 2
    assert listing.notes == (f"left out, no images of a class: {loose}",)


def test_class_without_images_stays_a_class(list_with, root):
    (root / "bee").mkdir()
    listing, table = list_with(source="folder", path=str(root))
    assert listing.class_names == ("ant", "bee", "owl")
    assert sorted(set(table["label"])) == [0, 2]


def test_nested_files_belong_to_the_class_folder(list_with, root):
    put_image(root / "owl" / "2024" / "may" / "3.png")
    _, table = list_with(source="folder", path=str(root))
    assert files(table)["owl/2024/may/3.png"] == "owl"


@pytest.mark.parametrize("name", ["snowy owl", "sova bílá", "シロフクロウ", 'owl, snowy ("white")'])
def test_names_may_hold_spaces_and_letters_of_any_script(list_with, tmp_path, name):
    put_image(tmp_path / "data" / name / f"{name} 1.png")
    listing, table = list_with(source="folder", path=str(tmp_path / "data"))
    assert listing.class_names == (name,)
    assert decode(ImageReader(listing.root, None).read(table["path"][0], None)).pixels.shape == (4, 6, 3)


def test_file_name_that_is_no_text_is_taken_or_noted_or_refused_in_a_sentence(list_with, root):
    put_image(root / "owl" / os.fsdecode(b"\xff.png"))
    with contextlib.suppress(DataError):
        listing, table = list_with(source="folder", path=str(root))
        assert len(table) == 5 or "owl/" in str(listing.notes)


def test_relative_path_is_made_absolute(list_with, root, monkeypatch):
    monkeypatch.chdir(root.parent)
    assert list_with(source="folder", path="data")[0].root == root


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "files only"])
def test_folder_without_classes_is_told_with_its_path(list_with, tmp_path, kind):
    path = tmp_path / "data"
    if kind == "file":
        path.write_bytes(b"")
    elif kind != "missing":
        path.mkdir()
    if kind == "files only":
        put_image(path / "1.png")
    with pytest.raises(DataError) as caught:
        list_with(source="folder", path=str(path))
    assert str(caught.value).startswith("dataset.path: ")
    assert str(path) in str(caught.value)
    assert "one folder a class" in str(caught.value)
    assert caught.value.exit_code == 3


def test_listing_is_named_by_its_content(list_with, root):
    first, _ = list_with(source="folder", path=str(root))
    again, _ = list_with(source="folder", path=str(root))
    put_image(root / "owl" / "3.png")
    other, _ = list_with(source="folder", path=str(root))
    assert first == again
    assert first.path != other.path


def test_nothing_is_written_into_the_data_folder(list_with, root):
    before = sorted(root.rglob("*"))
    list_with(source="folder", path=str(root))
    assert sorted(root.rglob("*")) == before


def test_folder_whose_classes_are_all_empty_is_told_with_its_path(list_with, tmp_path):
    for name in ("train/ant", "train/owl", "test/ant"):
        (tmp_path / "data" / name).mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        list_with(source="folder", path=str(tmp_path / "data"))
    assert str(caught.value).startswith(f"dataset.path: the folders of {tmp_path / 'data'} are empty; expected")
    assert "ant, owl" in str(caught.value)


def test_classes_that_differ_only_in_case_are_told_unless_they_are_merged(list_with, root):
    put_image(root / "Owl" / "1.png")
    with pytest.raises(DataError) as caught:
        list_with(source="folder", path=str(root))
    assert "'Owl' and 'owl' differ only in case; rename one" in str(caught.value)
    assert "class_names: {Owl: owl}" in str(caught.value)
    with pytest.raises(DataError, match="differ only in case"):
        describe_dataset(Dataset(source="folder", path=str(root)))
    listing, table = list_with(source="folder", path=str(root), class_names={"Owl": "owl"})
    assert listing.class_names == ("owl", "ant")
    assert Counter(table["class_name"]) == {"owl": 3, "ant": 2}


@pytest.fixture
def open_folder():
    """A folder that any user may enter, and the rights of a user who is not root."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    user = os.geteuid()
    yield path
    os.seteuid(user)
    for folder in (path, *path.rglob("*")):
        folder.chmod(0o755)
    shutil.rmtree(path)


@pytest.mark.parametrize("closed", [".", "owl", "owl/may"])
def test_folder_that_may_not_be_read_is_named(open_folder, closed):
    put_image(open_folder / "owl" / "may" / "1.png")
    (open_folder / closed).chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65_534)
    with pytest.raises(DataError) as caught:
        describe_dataset(Dataset(source="folder", path=str(open_folder)))
    assert str(caught.value).startswith(f"dataset.path: {open_folder / closed} may not be read; ")


def test_link_to_an_image_or_a_class_is_listed(list_with, root):
    put_image(root.parent / "elsewhere" / "1.png")
    (root / "bee").symlink_to(root.parent / "elsewhere")
    (root / "owl" / "3.png").symlink_to(root / "owl" / "1.png")
    (root / "owl" / "4.png").symlink_to(root / "gone.png")
    _, table = list_with(source="folder", path=str(root))
    assert {"bee/1.png", "owl/3.png", "owl/4.png"} <= set(table["path"])


def test_link_that_leads_back_is_noted_and_not_followed(list_with, root):
    (root / "owl" / "again").symlink_to(root)
    (root / "ant" / "owl").symlink_to(root / "owl")
    listing, table = list_with(source="folder", path=str(root))
    assert listing.notes == ("left out, no images of a class: ant/owl/again, owl/again",)
    assert sorted(table["path"]) == [
        "ant/1.png", "ant/2.png", "ant/owl/1.png", "ant/owl/2.png", "owl/1.png", "owl/2.png",
    ]  # fmt: skip


def test_named_pipe_is_not_waited_for(root):
    os.mkfifo(root / "ant" / "0.png")
    assert describe_dataset(Dataset(source="folder", path=str(root))).image_size == (4, 6)
