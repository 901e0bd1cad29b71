"""Facts of every image: found once, kept, and found again only where a file has changed."""

import hashlib
import io
import os
import shutil
import struct
import zlib
from functools import cache
from pathlib import Path

import imagehash
import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks import images
from tasks.image_store import write_store
from tasks.records import Listing
from tasks.validate import inspection
from tasks.validate.inspection import FACTS, inspect_images


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@cache
def bomb() -> bytes:
    """A sound PNG of 20,000 x 20,000 black pixels: 400 million in 49 kB."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(20_000 * (1 + 20_000 // 8)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def folder(tmp_path) -> Path:
    """The data folder."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def inspect(folder, tmp_path, list_files):
    """Write one file and inspect it: its facts."""

    def run(content: bytes | None, name: str = "a.jpg") -> pd.Series:
        if content is not None:
            (folder / name).write_bytes(content)
        return inspect_images(list_files(folder, [name]), tmp_path / "cache").iloc[0]

    return run


# Facts


def test_a_sound_image_is_described_in_full(inspect):
    pixels = noise(24, 32)
    content = encode(Image.fromarray(pixels))
    row = inspect(content, "a.png")
    assert pd.isna(row["error"])
    assert (row["width"], row["height"], row["mode"], row["format"]) == (32, 24, "RGB", "PNG")
    assert (row["bytes"], row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert row["phash"] == str(imagehash.phash(Image.fromarray(pixels)))
    assert row["brightness"] == pytest.approx(pixels.mean(axis=(0, 1)) @ [0.299, 0.587, 0.114], abs=0.5)
    assert not row["one_colour"]


def test_the_id_names_the_pixels_and_not_the_file(inspect):
    picture = Image.fromarray(noise(24, 32))
    png = inspect(encode(picture), "a.png")
    bmp = inspect(encode(picture, "BMP"), "b.bmp")
    assert png["image_id"] == bmp["image_id"]
    assert png["sha256"] != bmp["sha256"]


def test_the_id_tells_shapes_of_equal_bytes_apart(inspect):
    wide = inspect(encode(Image.new("RGB", (16, 4), "red")), "a.png")
    square = inspect(encode(Image.new("RGB", (8, 8), "red")), "b.png")
    assert wide["image_id"] != square["image_id"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "empty file: it has 0 bytes"),
        (b"this is a text\n", "cannot be decoded: not an image, or in no format that Pillow knows"),
        (bomb(), "too many pixels: Image size (400000000 pixels) exceeds limit of"),
        (encode(Image.fromarray(noise(64, 64)), "JPEG")[:-900], "cannot be decoded: image file is truncated"),
        (encode(Image.fromarray(noise(64, 64)))[:-4000], "cannot be decoded: "),
    ],
    ids=["empty", "text", "bomb", "truncated JPEG", "truncated PNG"],
)
def test_what_does_not_decode_says_why_and_is_not_filled_in(inspect, content, error):
    row = inspect(content)
    assert row["error"].startswith(error)
    assert row[["width", "height", "mode", "format", "brightness", "phash"]].isna().all()
    assert row["bytes"] == len(content)
    assert row["image_id"] == row["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_bomb_is_refused_without_decoding(inspect, monkeypatch):
    monkeypatch.setattr(images.ImageOps, "exif_transpose", lambda _: pytest.fail("the bomb was decoded"))
    assert inspect(bomb())["error"].startswith("too many pixels")


def test_a_reason_holds_nothing_that_differs_between_runs(inspect):
    errors = {inspect(b"no image", f"{name}.jpg")["error"] for name in "abc"}
    assert len(errors) == 1
    assert "0x" not in errors.pop()


@pytest.mark.parametrize("error", [RuntimeError, TypeError, OverflowError])
def test_whatever_a_decoder_raises_is_a_reason(inspect, monkeypatch, error):
    def fail(_: Image.Image) -> None:
        raise error("broken\n  in two lines.")

    monkeypatch.setattr(images.ImageOps, "exif_transpose", fail)
    assert inspect(encode(Image.fromarray(noise(8, 8))))["error"] == "cannot be decoded: broken in two lines"


def test_broken_metadata_of_sound_pixels_are_let_pass(inspect):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03\0\0"  # declares five entries and ends in the first
    assert pd.isna(inspect(encode(Image.fromarray(noise(24, 32)), "JPEG", exif=exif))["error"])


def test_a_missing_file_says_so_and_has_the_id_of_its_path(inspect):
    row = inspect(None, "gone.jpg")
    assert row["error"] == "missing file: it was listed, but is not there"
    assert row["image_id"] == hashlib.sha256(b"gone.jpg").hexdigest()
    assert row["bytes"] == 0
    assert pd.isna(row["sha256"])


def test_what_cannot_be_read_says_why_without_its_path(folder, inspect):
    (folder / "folder.jpg").mkdir()
    row = inspect(None, "folder.jpg")
    assert row["error"] == "cannot be read: not a regular file"


def test_a_link_out_of_the_data_folder_is_not_followed(folder, inspect, tmp_path):
    (tmp_path / "secret.png").write_bytes(encode(Image.fromarray(noise(8, 8))))
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    row = inspect(None, "link.png")
    assert row["error"] == "cannot be read: leads out of the data folder"
    assert (row["bytes"], pd.isna(row["sha256"])) == (0, True)


@pytest.mark.parametrize("name", ["Bär 熊 (1).png", "two\nlines.png", " .png", "#1?&%20.png", "-rf.png"])
def test_any_name_that_a_file_can_have_is_read(inspect, name):
    assert pd.isna(inspect(encode(Image.fromarray(noise(24, 32))), name)["error"])


@pytest.mark.parametrize(
    ("picture", "kind", "mode"),
    [
        (Image.fromarray(noise(24, 32, 4)), "PNG", "RGBA"),
        (Image.fromarray(noise(24, 32, 1)), "PNG", "L"),
        (Image.fromarray(noise(24, 32, 1).astype(np.uint16) * 257), "PNG", "I;16"),
        (Image.fromarray(noise(24, 32)).convert("CMYK"), "JPEG", "CMYK"),
        (Image.fromarray(noise(24, 32)).convert("P"), "GIF", "P"),
        (Image.fromarray(noise(24, 32)), "WEBP", "RGB"),
    ],
    ids=["RGBA", "grey", "16 bits", "CMYK", "palette", "WEBP"],
)
def test_every_mode_and_format_is_read_and_named_whatever_the_name_says(inspect, picture, kind, mode):
    row = inspect(encode(picture, kind), "a.jpg")
    assert pd.isna(row["error"])
    assert (row["format"], row["mode"], row["width"], row["height"]) == (kind, mode, 32, 24)


def test_16_bits_are_scaled_and_not_clipped(inspect):
    grey = noise(24, 32, 1)
    deep = inspect(encode(Image.fromarray(grey.astype(np.uint16) * 257)), "a.png")
    plain = inspect(encode(Image.fromarray(grey)), "b.png")
    assert deep["image_id"] == plain["image_id"]


def test_a_rotated_photo_is_measured_upright(inspect):
    exif = Image.Exif()
    exif[0x0112] = 6  # the orientation tag: turn by 90 degrees
    row = inspect(encode(Image.fromarray(noise(24, 32)), "JPEG", exif=exif))
    assert (row["width"], row["height"]) == (24, 32)


@pytest.mark.parametrize("colour", ["black", "white", "red", (90, 120, 40)])
@pytest.mark.parametrize("quality", [30, 75, 95])
def test_a_plain_colour_is_told_even_from_a_jpeg(inspect, colour, quality):
    assert inspect(encode(Image.new("RGB", (40, 30), colour), "JPEG", quality=quality))["one_colour"]


def test_noise_of_one_level_is_still_one_colour_and_a_faint_edge_is_not(inspect):
    grey = np.full((64, 64, 3), 100, np.uint8)
    assert inspect(encode(Image.fromarray(grey + noise(64, 64) % 2), "JPEG", quality=95), "noise.jpg")["one_colour"]
    grey[:, 32:] += 6
    assert not inspect(encode(Image.fromarray(grey)), "edge.png")["one_colour"]


def test_equal_grey_levels_of_two_colours_are_not_one_colour(inspect):
    picture = Image.new("RGB", (8, 8), (100, 0, 0))
    picture.paste((0, 51, 0), (0, 0, 4, 8))
    assert not inspect(encode(picture))["one_colour"]


def test_every_row_has_its_facts_in_order_even_when_listed_twice(folder, tmp_path, list_files):
    (folder / "b.png").write_bytes(encode(Image.fromarray(noise(24, 32))))
    facts = inspect_images(list_files(folder, ["b.png", "a.png", "b.png"]), tmp_path / "cache")
    assert {name: str(dtype) for name, dtype in facts.dtypes.items()} == FACTS
    assert list(facts["width"].fillna(0)) == [32, 0, 32]
    assert list(facts.index) == [0, 1, 2]


def test_an_empty_listing_gives_an_empty_table(folder, tmp_path, list_files):
    facts = inspect_images(list_files(folder, []), tmp_path / "cache")
    assert facts.empty
    assert {name: str(dtype) for name, dtype in facts.dtypes.items()} == FACTS


def test_a_row_without_path_or_index_is_a_fault_of_the_listing(folder, tmp_path, list_files):
    with pytest.raises(ValueError, match="neither a path below a root nor an index"):
        inspect_images(list_files(folder, [None]), tmp_path / "cache")


# Stores


def stored(folder: Path, count: int) -> Listing:
    """Images in an Arrow store, listed from last to first; every fifth is broken, every seventh a copy of the first."""
    contents = [encode(Image.fromarray(noise(8, 8, seed=0 if i % 7 == 0 else i))) for i in range(count)]
    contents = [content[:50] if i % 5 == 4 else content for i, content in enumerate(contents)]
    write_store(folder / "images.arrow", contents)
    rows = {"source": "store", "index": range(count), "label": 0, "class_name": "cat", "split": "train"}
    pd.DataFrame(rows).iloc[::-1].to_parquet(folder / "listing.parquet")
    return Listing(path=folder / "listing.parquet", class_names=("cat",), root=None, store=folder / "images.arrow")


def test_images_of_a_store_are_found_by_index(folder, tmp_path):
    facts = inspect_images(stored(folder, 20), tmp_path / "cache")
    assert list(19 - facts.index[facts["error"].notna()]) == [19, 14, 9, 4]
    assert facts["image_id"][19 - 0] == facts["image_id"][19 - 7]
    assert facts["image_id"].nunique() == 19  # 0 and 7 are equal; 14 is broken, and so no copy of theirs


def test_workers_and_one_process_find_the_same(folder, tmp_path, monkeypatch):
    listing = stored(folder, 300)
    alone = inspect_images(listing, tmp_path / "alone")
    calls = []
    parallel = joblib.Parallel
    monkeypatch.setattr(inspection, "PARALLEL_ABOVE", 10)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    monkeypatch.setattr(joblib, "Parallel", lambda **options: calls.append(options) or parallel(**options))
    together = inspect_images(listing, tmp_path / "together")
    assert [call["n_jobs"] for call in calls] == [2]
    pd.testing.assert_frame_equal(alone, together)


# What is known is not opened again


@pytest.fixture
def opened(monkeypatch):
    """Paths or indices of the images that were read since."""
    read, places = images.ImageReader.read, []

    def note(self, path, index):
        places.append(index if path is None else path)
        return read(self, path, index)

    monkeypatch.setattr(images.ImageReader, "read", note)
    return places


@pytest.fixture
def three_files(folder):
    """Two images and a text, changed last a day ago."""
    for seed, name in enumerate(("a.png", "b.png")):
        (folder / name).write_bytes(encode(Image.fromarray(noise(8, 8, seed=seed))))
    (folder / "c.txt").write_bytes(b"no image")
    for path in folder.iterdir():
        put_back(path, 86_400)
    return folder


@pytest.fixture
def look(three_files, tmp_path, list_files, opened):
    """Inspect the files of the folder, or those that are named; the facts, and `opened` since."""

    def run(*names: str) -> pd.DataFrame:
        opened.clear()
        listed = list(names) or sorted(path.name for path in three_files.iterdir())
        return inspect_images(list_files(three_files, listed), tmp_path / "cache")

    return run


def put_back(path: Path, seconds: int) -> None:
    """Set the time of the last change back."""
    changed = path.stat().st_mtime_ns - seconds * 10**9
    os.utime(path, ns=(changed, changed))


def kept_in(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "cache" / "inspections").iterdir()
    return path


def test_a_second_pass_opens_nothing_and_finds_the_same(look, opened):
    first = look()
    assert opened == ["a.png", "b.png", "c.txt"]
    second = look()
    assert opened == []
    pd.testing.assert_frame_equal(first, second)


def test_a_file_that_was_changed_or_touched_is_opened_alone(three_files, look, opened):
    before = look()
    (three_files / "b.png").write_bytes(encode(Image.fromarray(noise(9, 9))))
    after = look()
    assert opened == ["b.png"]
    assert list(before["width"].fillna(0)) == [8, 8, 0]
    assert list(after["width"].fillna(0)) == [8, 9, 0]
    put_back(three_files / "a.png", 60)
    look()
    assert opened == ["a.png"]
    look()
    assert opened == []


def test_a_file_of_another_size_is_opened_even_at_the_same_time(three_files, look, opened):
    look()
    time = (three_files / "b.png").stat().st_mtime_ns
    (three_files / "b.png").write_bytes(encode(Image.fromarray(noise(9, 9))))
    os.utime(three_files / "b.png", ns=(time, time))
    assert look()["width"][1] == 9
    assert opened == ["b.png"]


def test_new_and_removed_files_do_not_disturb_the_others(three_files, look, opened):
    look()
    shutil.copy(three_files / "a.png", three_files / "d.png")
    (three_files / "a.png").unlink()
    assert len(look()) == 3
    assert opened == ["d.png"]
    gone = look("a.png", "b.png")
    assert gone["error"][0].startswith("missing file")
    assert opened == ["a.png"]


def test_two_listings_of_one_folder_do_not_forget_each_other(look, opened):
    look("a.png")
    look("b.png")
    look()
    assert opened == ["c.txt"]


def test_a_link_to_a_file_that_changes_is_followed(three_files, look, opened):
    (three_files / "d.png").symlink_to("a.png")
    look()
    put_back(three_files / "a.png", 60)
    look()
    assert opened == ["a.png", "d.png"]


def test_what_could_not_be_read_is_tried_again(look, opened, monkeypatch):
    def deny(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied", "somewhere")

    with monkeypatch.context() as without_rights:
        without_rights.setattr(Path, "read_bytes", deny)
        denied = look()
    assert list(denied["error"]) == ["cannot be read: Permission denied"] * 3
    assert pd.isna(look()["error"][0])
    assert opened == ["a.png", "b.png", "c.txt"]


def test_what_was_found_before_an_interruption_is_kept(look, opened, monkeypatch):
    def interrupt_at_text(encoded: bytes) -> images.DecodedImage:
        if encoded == b"no image":
            raise KeyboardInterrupt
        return images.decode(encoded)

    monkeypatch.setattr(inspection, "_ROWS_A_BATCH", 1)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(inspection, "decode", interrupt_at_text)
        with pytest.raises(KeyboardInterrupt):
            look()
    look()
    assert opened == ["c.txt"]


def as_parquet(**columns: list[str]) -> bytes:
    stream = io.BytesIO()
    pd.DataFrame(columns).to_parquet(stream)
    return stream.getvalue()


DAMAGES = {
    "empty": lambda whole: whole[:0],
    "cut short": lambda whole: whole[:-100],
    "a flipped bit": lambda whole: whole[:60] + bytes([whole[60] ^ 1]) + whole[61:],
    "no table": lambda whole: whole[::-1],
    "another table": lambda _: as_parquet(path=["a.png"], image_id=["0"]),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cache_is_made_again(look, opened, tmp_path, damage):
    first = look()
    path = kept_in(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    pd.testing.assert_frame_equal(look(), first)
    assert len(opened) == 3
    look()
    assert opened == []


def test_a_newer_way_of_finding_facts_does_not_believe_the_old_ones(look, opened, monkeypatch):
    look()
    monkeypatch.setattr(inspection, "_FACTS_VERSION", 2)
    look()
    assert len(opened) == 3


def test_a_folder_of_the_same_names_is_another(three_files, look, opened, tmp_path, list_files):
    look()
    shutil.copytree(three_files, tmp_path / "copy")
    opened.clear()
    inspect_images(list_files(tmp_path / "copy", ["a.png"]), tmp_path / "cache")
    assert opened == ["a.png"]


def test_images_of_a_store_are_known_until_the_store_changes(folder, tmp_path, opened):
    listing = stored(folder, 10)
    first = inspect_images(listing, tmp_path / "cache")
    assert len(opened) == 10
    opened.clear()
    pd.testing.assert_frame_equal(inspect_images(listing, tmp_path / "cache"), first)
    assert opened == []
    put_back(folder / "images.arrow", 60)
    inspect_images(listing, tmp_path / "cache")
    assert len(opened) == 10


def test_nothing_is_written_into_the_data_folder(three_files, look):
    before = sorted(three_files.rglob("*"))
    look()
    assert sorted(three_files.rglob("*")) == before
