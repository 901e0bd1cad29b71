"""Generated shapes: the same for the same options, boxes that fit, classes that only their form tells apart."""

from functools import partial

import numpy as np
import pytest

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Dataset
from tasks.images import ImageReader, decode
from tasks.ingest.listing import describe_dataset, list_dataset


@pytest.fixture
def list_with(list_with):
    """`list_with(…)`: as everywhere, of this source."""
    return partial(list_with, source="shapes")


def pixels_of(listing, table):
    reader = ImageReader(None, listing.store)
    return np.stack([decode(reader.read(None, int(index))).pixels for index in table["index"]]).astype("float64")


def test_defaults_are_1200_images_of_four_classes():
    description = describe_dataset(Dataset(source="shapes"))
    assert description.class_names == ("circle", "square", "triangle", "ring")
    assert (description.image_size, description.num_images) == ((64, 64), 1_200)


def test_classes_are_of_one_size_but_for_one_image(list_with):
    _, table = list_with(classes=6, count=20, size=16)
    assert table["class_name"].value_counts().to_dict() == {
        "circle": 4, "square": 4, "triangle": 3, "ring": 3, "cross": 3, "star": 3,
    }  # fmt: skip


def test_same_options_give_the_same_bytes_and_others_do_not(tmp_path):
    def store(place, **options):
        section = Dataset(source="shapes", **{"count": 6, "size": 16, **options})
        return list_dataset(section, tmp_path / place, tmp_path / "cache").store

    first = store("a")
    assert store("b").read_bytes() == first.read_bytes()
    others = [store("a", **option) for option in ({"seed": 1}, {"classes": 3}, {"size": 17}, {"count": 7})]
    assert len({first, *others}) == 5
    assert len({path.read_bytes() for path in (first, *others)}) == 5


def test_more_images_begin_with_the_same_ones(list_with):
    few, many = list_with(count=4, size=16), list_with(count=8, size=16)
    np.testing.assert_array_equal(pixels_of(*few), pixels_of(*many)[:4])


def test_box_touches_the_shape_on_all_four_sides(list_with):
    listing, table = list_with(classes=6, count=60, size=64)
    for image, row in zip(pixels_of(listing, table), table.to_dict("records"), strict=True):
        x, y, width, height = (round(row[f"box_{name}"] * 64) for name in ("x", "y", "width", "height"))
        outside = np.ones((64, 64), dtype=bool)
        outside[y : y + height, x : x + width] = False
        background = np.median(image[outside], axis=0)
        # Averaged over three by three pixels and the colours, what is left of the noise is below half the contrast.
        differs = np.abs(image - background).sum(axis=2)
        mean = np.lib.stride_tricks.sliding_window_view(np.pad(differs, 1, mode="edge"), (3, 3)).mean(axis=(2, 3))
        rows, columns = np.nonzero(mean > mean[outside].max())
        assert y <= rows.min() <= y + 6
        assert x <= columns.min() <= x + 6
        assert y + height - 7 <= rows.max() < y + height
        assert x + width - 7 <= columns.max() < x + width


def test_colour_does_not_tell_the_class(list_with):
    listing, table = list_with(classes=2, count=400, size=16)
    means = pixels_of(listing, table).mean(axis=(1, 2))
    by_class = [means[table["label"] == label] for label in (0, 1)]
    spread = means.std(axis=0) / np.sqrt(100)  # standard error of the difference of two means of 200 each
    assert (np.abs(by_class[0].mean(axis=0) - by_class[1].mean(axis=0)) < 4 * spread).all()


@pytest.mark.parametrize("option", [{"classes": 1}, {"classes": 7}, {"count": 0}, {"size": 8}, {"seed": -1}])
def test_option_out_of_range_is_refused(option):
    with pytest.raises(ConfigurationError, match=f"dataset.{next(iter(option))}: expected"):
        describe_dataset(Dataset(source="shapes", **option))
