import hashlib
import io
import struct
import zlib
from pathlib import Path

import imagehash
import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from pipeline_config.experiment import Validation
from tasks import images
from tasks.manifest import COLUMNS, conform
from tasks.records import Listing
from tasks.validate import file_checks
from tasks.validate.file_checks import inspect_images

BOUNDS = Validation()


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes whose header declares 20,000 x 20,000 pixels, and whose data end after the first."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


@pytest.fixture
def inspect(tmp_path, list_files):
    """Write one file and inspect it: its row of the manifest."""

    def run(content: bytes | None, name: str = "a.jpg", bounds: Validation = BOUNDS) -> pd.Series:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        return inspect_images(list_files(tmp_path, [name]), bounds).iloc[0]

    return run


def test_a_sound_image_is_described_in_full(inspect):
    pixels = noise(24, 32)
    content = encode(Image.fromarray(pixels))
    row = inspect(content, "a.png")
    assert (row["status"], row["width"], row["height"], row["mode"]) == ("ok", 32, 24, "RGB")
    assert (row["bytes"], row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert row["phash"] == str(imagehash.phash(Image.fromarray(pixels)))
    assert row["group"] == row["image_id"]


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
    ("content", "status"),
    [
        (b"", "empty file: it has 0 bytes"),
        (b"this is a text\n", "cannot be decoded: not an image, or in no format that Pillow knows"),
        (bomb(), "too many pixels: Image size (400000000 pixels) exceeds limit of"),
        (encode(Image.fromarray(noise(64, 64)), "JPEG")[:-900], "cannot be decoded: image file is truncated"),
        (encode(Image.fromarray(noise(64, 64)))[:-4000], "cannot be decoded: "),
    ],
    ids=["empty", "text", "bomb", "truncated JPEG", "truncated PNG"],
)
def test_what_does_not_decode_says_why_and_is_not_filled_in(inspect, content, status):
    row = inspect(content)
    assert row["status"].startswith(status)
    assert row[["width", "height", "mode", "phash"]].isna().all()
    assert row["bytes"] == len(content)
    assert row["image_id"] == row["sha256"] == row["group"] == hashlib.sha256(content).hexdigest()


def test_a_bomb_is_refused_without_decoding(inspect, monkeypatch):
    monkeypatch.setattr(images.ImageOps, "exif_transpose", lambda _: pytest.fail("the bomb was decoded"))
    assert inspect(bomb())["status"].startswith("too many pixels")


def test_a_reason_holds_nothing_that_differs_between_runs(inspect):
    statuses = {inspect(b"no image", f"{name}.jpg")["status"] for name in "abc"}
    assert len(statuses) == 1
    assert "0x" not in statuses.pop()


@pytest.mark.parametrize("error", [RuntimeError, TypeError, OverflowError])
def test_whatever_a_decoder_raises_quarantines_the_image(inspect, monkeypatch, error):
    def fail(_: Image.Image) -> None:
        raise error("broken\n  in two lines.")

    monkeypatch.setattr(images.ImageOps, "exif_transpose", fail)
    assert inspect(encode(Image.fromarray(noise(8, 8))))["status"] == "cannot be decoded: broken in two lines"


def test_broken_metadata_of_sound_pixels_are_let_pass(inspect):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03\0\0"  # declares five entries and ends in the first
    row = inspect(encode(Image.fromarray(noise(24, 32)), "JPEG", exif=exif))
    assert row["status"] == "ok"


def test_a_missing_file_says_so_and_has_the_id_of_its_path(inspect):
    row = inspect(None, "gone.jpg")
    assert row["status"] == "missing file: it was listed, but is not there"
    assert row["image_id"] == hashlib.sha256(b"gone.jpg").hexdigest()
    assert row["bytes"] == 0
    assert pd.isna(row["sha256"])


def test_what_cannot_be_read_says_why_without_its_path(tmp_path, list_files):
    (tmp_path / "folder.jpg").mkdir()
    row = inspect_images(list_files(tmp_path, ["folder.jpg"]), BOUNDS).iloc[0]
    assert row["status"].startswith("cannot be read: ")
    assert str(tmp_path) not in row["status"]


def test_names_with_spaces_and_other_letters_are_read(inspect):
    row = inspect(encode(Image.fromarray(noise(24, 32))), "Bär 熊 (1).png")
    assert (row["status"], row["path"]) == ("ok", "Bär 熊 (1).png")


@pytest.mark.parametrize(
    ("picture", "kind", "mode"),
    [
        (Image.fromarray(noise(24, 32, 4)), "PNG", "RGBA"),
        (Image.fromarray(noise(24, 32, 1)), "PNG", "L"),
        (Image.fromarray(noise(24, 32, 1).astype(np.uint16) * 257), "PNG", "I;16"),
        (Image.fromarray(noise(24, 32)).convert("CMYK"), "JPEG", "CMYK"),
        (Image.fromarray(noise(24, 32)).convert("P"), "GIF", "P"),
    ],
    ids=["RGBA", "grey", "16 bits", "CMYK", "palette"],
)
def test_every_mode_is_read_and_named(inspect, picture, kind, mode):
    row = inspect(encode(picture, kind))
    assert (row["status"], row["mode"], row["width"], row["height"]) == ("ok", mode, 32, 24)


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


@pytest.mark.parametrize(
    ("height", "width", "status"),
    [
        (9, 40, "too small: 40 × 9 pixels, expected at least 10 a side"),
        (40, 9, "too small: 9 × 40 pixels, expected at least 10 a side"),
        (10, 41, "too large: 41 × 10 pixels, expected at most 40 a side"),
        (41, 10, "too large: 10 × 41 pixels, expected at most 40 a side"),
        (10, 40, "ok"),
    ],
)
def test_sides_out_of_bounds_are_told_with_both_numbers(inspect, height, width, status):
    row = inspect(encode(Image.fromarray(noise(height, width))), "a.png", Validation(min_side=10, max_side=40))
    assert row["status"] == status
    assert (row["width"], row["height"]) == (width, height)


def test_every_row_stays_in_order_and_keeps_what_the_listing_says(tmp_path, list_files):
    (tmp_path / "b.png").write_bytes(encode(Image.fromarray(noise(24, 32))))
    given = {"label": [1, 0, 0], "split": ["test", None, "train"], "box_x": [0.25, None, 0.5]}
    table = inspect_images(list_files(tmp_path, ["b.png", "a.png", "c.png"], **given), BOUNDS)
    assert tuple(table.columns) == COLUMNS
    assert list(table["path"]) == ["b.png", "a.png", "c.png"]
    assert list(table["label"]) == given["label"]
    assert list(table["split"].fillna("none")) == ["test", "none", "train"]
    assert list(table["box_x"].fillna(-1)) == [0.25, -1, 0.5]


def test_an_empty_listing_gives_an_empty_manifest(tmp_path, list_files):
    table = inspect_images(list_files(tmp_path, []), BOUNDS)
    pd.testing.assert_frame_equal(table, conform(table))
    assert table.empty


def stored(folder: Path, count: int) -> Listing:
    """Images in an Arrow store, in batches of three; every fifth is broken and every seventh a copy of the first."""
    contents = [encode(Image.fromarray(noise(8, 8, seed=0 if i % 7 == 0 else i))) for i in range(count)]
    contents = [content[:50] if i % 5 == 4 else content for i, content in enumerate(contents)]
    store = folder / "images.arrow"
    schema = pa.schema([("image", pa.binary())])
    with pa.OSFile(str(store), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for start in range(0, count, 3):
            writer.write_batch(pa.record_batch([pa.array(contents[start : start + 3], pa.binary())], ["image"]))
    rows = {"source": "store", "index": range(count), "label": 0, "class_name": "cat", "split": "train"}
    pd.DataFrame(rows).iloc[::-1].to_parquet(folder / "listing.parquet")
    return Listing(path=folder / "listing.parquet", class_names=("cat",), root=None, store=store)


def test_images_of_a_store_are_found_by_index(tmp_path):
    table = inspect_images(stored(tmp_path, 20), BOUNDS).set_index("index")
    assert table.index[0] == 19
    assert list(table.index[table["status"] != "ok"]) == [19, 14, 9, 4]
    assert table["image_id"][0] == table["image_id"][7]
    assert table["image_id"].nunique() == 19  # 0 and 7 are equal; 14 is broken, and so no copy of theirs


def test_workers_and_one_process_find_the_same(tmp_path, monkeypatch):
    listing = stored(tmp_path, 300)
    alone = inspect_images(listing, BOUNDS)
    calls = []
    parallel = joblib.Parallel
    monkeypatch.setattr(file_checks, "PARALLEL_ABOVE", 10)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    monkeypatch.setattr(joblib, "Parallel", lambda **options: calls.append(options) or parallel(**options))
    together = inspect_images(listing, BOUNDS)
    assert [call["n_jobs"] for call in calls] == [2]
    pd.testing.assert_frame_equal(alone, together)


def test_a_row_without_path_or_index_is_a_fault_of_the_listing(tmp_path, list_files):
    with pytest.raises(ValueError, match="neither a path below a root nor an index"):
        inspect_images(list_files(tmp_path, [None]), BOUNDS)
