"""Encoded bytes -> upright RGB pixels, and where the bytes are read from."""

import io
import os
import pickle

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tasks.image_store import write_store
from tasks.images import ImageReader, decode

RED = (200, 30, 40)


def encoded(image, form="PNG", **options):
    """An image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def two_tone():
    """Four pixels high, six wide; the left half red, the right half black."""
    image = Image.new("RGB", (6, 4))
    image.paste(RED, (0, 0, 3, 4))
    return image


# Decoding


def test_pixels_are_height_width_and_three_channels_of_uint8():
    decoded = decode(encoded(two_tone()))
    assert decoded.pixels.shape == (4, 6, 3)
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels[0, 0].tolist() == list(RED)
    assert decoded.pixels[3, 5].tolist() == [0, 0, 0]
    assert decoded.mode == "RGB"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"])
def test_common_formats_decode_to_the_same_shape(form):
    pixels = decode(encoded(Image.new("RGB", (6, 4), RED), form)).pixels
    assert pixels.shape == (4, 6, 3)
    np.testing.assert_allclose(pixels[2, 3], RED, atol=6)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 77, [77, 77, 77]),
        ("1", 1, [255, 255, 255]),
        ("P", 0, [0, 0, 0]),
        ("LA", (77, 255), [77, 77, 77]),
        ("LA", (77, 0), [255, 255, 255]),
        ("RGBA", (*RED, 255), list(RED)),
        ("RGBA", (*RED, 0), [255, 255, 255]),
        ("RGBA", (0, 0, 0, 51), [204, 204, 204]),
        ("I;16", 0x4D12, [0x4D, 0x4D, 0x4D]),
        ("I;16", 0xFFFF, [255, 255, 255]),
    ],
)
def test_every_mode_becomes_rgb_and_is_told(mode, colour, expected):
    decoded = decode(encoded(Image.new(mode, (6, 4), colour)))
    assert decoded.mode == mode
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels[1, 1].tolist() == expected


def test_opaque_pixels_are_not_changed_by_an_alpha_channel():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    opaque = Image.fromarray(np.dstack([pixels, np.full((64, 64), 255, np.uint8)]))
    assert opaque.mode == "RGBA"
    assert (decode(encoded(opaque)).pixels == pixels).all()


@pytest.mark.parametrize(("mode", "transparent"), [("P", 0), ("L", 7), ("RGB", RED)])
def test_a_colour_that_stands_for_transparent_becomes_white(mode, transparent):
    image = Image.new(mode, (6, 4), transparent)
    assert decode(encoded(image, transparency=transparent)).pixels[1, 1].tolist() == [255, 255, 255]


def test_16_bits_of_ppm_are_scaled_and_not_clipped():
    grey = b"P5 2 1 65535\n" + bytes([0x4D, 0x12, 0xFF, 0xFF])
    assert decode(grey).pixels[0, :, 0].tolist() == [0x4D, 0xFF]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_the_real_format_is_told(form):
    assert decode(encoded(two_tone(), form)).format == form


def test_of_an_animation_the_first_frame_is_decoded():
    frames = [Image.new("RGB", (6, 4), colour) for colour in (RED, (0, 0, 255))]
    pixels = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])).pixels
    np.testing.assert_allclose(pixels[1, 1], RED, atol=6)


def test_a_program_that_draws_is_not_run(monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    with pytest.raises(OSError, match="EPS is a program, which is not run"):
        decode(encoded(two_tone(), "EPS"))


def test_cmyk_becomes_rgb():
    decoded = decode(encoded(Image.new("CMYK", (6, 4), (0, 255, 255, 0)), "TIFF"))
    assert decoded.mode == "CMYK"
    assert decoded.pixels[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("orientation", "size", "red_corner"),
    [(1, (4, 6), (0, 0)), (3, (4, 6), (-1, -1)), (6, (6, 4), (0, 0)), (8, (6, 4), (-1, 0))],
)
def test_image_is_turned_upright(orientation, size, red_corner):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(encoded(two_tone(), "PNG", exif=exif)).pixels
    assert pixels.shape[:2] == size
    assert pixels[red_corner].tolist() == list(RED)
    opposite = tuple(-1 - part for part in red_corner)
    assert pixels[opposite].tolist() == [0, 0, 0]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_image_is_an_oserror(form, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    whole = encoded(noise, form)
    with pytest.raises(OSError, match=r"\S"):
        decode(whole[: int(len(whole) * share)])


@pytest.mark.parametrize("content", [b"", b"no image", b"<svg/>", bytes(1_000)])
def test_what_is_no_image_is_an_oserror(content):
    with pytest.raises(OSError, match=r"\S"):
        decode(content)


def test_image_of_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    bomb = encoded(Image.new("1", (300, 300)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60_000)
    with pytest.raises(Image.DecompressionBombError, match="exceeds limit"):
        decode(bomb)


def test_pixels_outlive_the_decoding():
    pixels = decode(encoded(two_tone())).pixels
    assert (pixels.copy() == pixels).all()


# Files and stores


def test_file_is_read_below_the_root(tmp_path):
    (tmp_path / "owl").mkdir()
    (tmp_path / "owl" / "1 ä.png").write_bytes(b"bytes")
    assert ImageReader(root=tmp_path, store=None).read("owl/1 ä.png", None) == b"bytes"


@pytest.fixture
def data_folder(tmp_path):
    """A data folder with an image in it, beside a file that is none of its business."""
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "data" / "owl").mkdir(parents=True)
    (tmp_path / "data" / "owl" / "1.png").write_bytes(b"owl")
    (tmp_path / "data-2").mkdir()
    (tmp_path / "data-2" / "1.png").write_bytes(b"secret")
    return tmp_path / "data"


@pytest.mark.parametrize("path", ["link.png", "linked/secret.png", "../secret.png", "owl/../../secret.png", "sibling"])
def test_what_leads_out_of_the_data_folder_is_not_read(data_folder, path):
    (data_folder / "link.png").symlink_to("../secret.png")
    (data_folder / "linked").symlink_to(data_folder.parent)
    (data_folder / "sibling").symlink_to("../data-2/1.png")
    with pytest.raises(OSError, match="leads out of the data folder"):
        ImageReader(root=data_folder, store=None).read(path, None)


def test_an_absolute_path_leads_out_of_the_data_folder(data_folder):
    with pytest.raises(OSError, match="leads out of the data folder"):
        ImageReader(root=data_folder, store=None).read(str(data_folder.parent / "secret.png"), None)


def test_a_link_inside_the_data_folder_is_followed(data_folder):
    (data_folder / "eagle-owl").symlink_to("owl")
    (data_folder / "first.png").symlink_to("eagle-owl/1.png")
    assert ImageReader(root=data_folder, store=None).read("first.png", None) == b"owl"


def test_the_data_folder_itself_may_be_a_link(data_folder):
    link = data_folder.parent / "link"
    link.symlink_to(data_folder)
    assert ImageReader(root=link, store=None).read("owl/1.png", None) == b"owl"


def test_a_pipe_is_refused_and_not_waited_for(data_folder):
    os.mkfifo(data_folder / "pipe.png")
    with pytest.raises(OSError, match="not a regular file"):
        ImageReader(root=data_folder, store=None).read("pipe.png", None)


def test_links_in_a_circle_and_impossible_names_are_oserrors(data_folder):
    (data_folder / "round.png").symlink_to("round.png")
    for path in ("round.png", "null\0.png"):
        with pytest.raises(OSError, match=r"\S"):
            ImageReader(root=data_folder, store=None).read(path, None)


def test_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        ImageReader(root=tmp_path, store=None).read("none.png", None)


@pytest.mark.parametrize("count", [0, 1, 3, 1_000, 2_345])
def test_store_gives_back_every_image_at_its_index(tmp_path, count):
    path = tmp_path / "new" / "images.arrow"
    images = [str(number).encode() * (number % 5) for number in range(count)]
    write_store(path, iter(images))
    reader = ImageReader(root=None, store=path)
    assert [reader.read(None, index) for index in range(count)] == images
    assert list(path.parent.iterdir()) == [path]


def test_index_past_the_end_of_the_store_is_told(tmp_path):
    write_store(tmp_path / "images.arrow", [b"one"])
    with pytest.raises((IndexError, pa.ArrowIndexError), match=r"out of bounds|range"):
        ImageReader(root=None, store=tmp_path / "images.arrow").read(None, 1)


def test_store_that_breaks_off_is_not_left_behind(tmp_path):
    def break_off():
        yield b"one"
        raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        write_store(tmp_path / "images.arrow", break_off())
    assert list(tmp_path.iterdir()) == []


def test_reader_is_pickled_without_its_opened_store(tmp_path):
    write_store(tmp_path / "images.arrow", [bytes(500_000), b"two"])
    reader = ImageReader(root=None, store=tmp_path / "images.arrow")
    assert reader.read(None, 1) == b"two"
    pickled = pickle.dumps(reader)
    assert len(pickled) < 2_000
    assert pickle.loads(pickled) == reader
    assert pickle.loads(pickled).read(None, 1) == b"two"


@pytest.mark.parametrize(("path", "index", "missing"), [(None, 3, "store"), (None, None, "path"), ("a", None, "root")])
def test_row_that_points_nowhere_is_told(path, index, missing):
    with pytest.raises(ValueError, match=missing):
        ImageReader(root=None, store=None).read(path, index)
