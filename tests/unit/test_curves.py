"""Learning curves: drawn for every history that a training can leave."""

import math
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import pytest
from PIL import Image

from tasks.picture_style import FIRST, SECOND
from tasks.train.curves import draw_curves

EPOCHS = np.arange(1, 13)
HISTORY = {
    "train_loss": [*(2 / EPOCHS)],
    "train_accuracy": [*(1 - 0.6 / EPOCHS)],
    "val_loss": [*(2.2 / EPOCHS + 0.1)],
    "val_accuracy": [*(0.95 - 0.7 / EPOCHS)],
}


def pixels_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def count_of(colour, pixels):
    """Pixels of exactly that colour."""
    red_green_blue = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return int((pixels == red_green_blue).all(axis=2).sum())


def test_both_series_are_drawn_side_by_side(tmp_path):
    draw_curves(HISTORY, 7, "cnn", tmp_path / "curves.png")

    pixels = pixels_of(tmp_path / "curves.png")
    height, width, _ = pixels.shape
    assert 300 < height < 800
    assert 2 * height < width < 1600
    for half in (pixels[:, : width // 2], pixels[:, width // 2 :]):
        assert count_of(FIRST, half) > 100
        assert count_of(SECOND, half) > 100


def test_chosen_epoch_is_marked(tmp_path):
    for epoch in (3, 9):
        draw_curves(HISTORY, epoch, "cnn", tmp_path / f"{epoch}.png")

    assert not np.array_equal(pixels_of(tmp_path / "3.png"), pixels_of(tmp_path / "9.png"))


def test_one_epoch_is_visible(tmp_path):
    history = {name: values[:1] for name, values in HISTORY.items()}
    draw_curves(history, 1, "cnn", tmp_path / "curves.png")

    pixels = pixels_of(tmp_path / "curves.png")
    plots = pixels[: int(0.85 * len(pixels))]  # above the legend, which shows both colours in any case
    assert count_of(FIRST, plots) > 20
    assert count_of(SECOND, plots) > 20


def test_value_between_two_gaps_is_visible(tmp_path):
    draw_curves({"val_loss": [math.nan, 0.7, math.nan]}, 2, "cnn", tmp_path / "curves.png")

    pixels = pixels_of(tmp_path / "curves.png")
    assert count_of(SECOND, pixels[: int(0.85 * len(pixels))]) > 10


@pytest.mark.parametrize("hole", [math.nan, math.inf])
def test_training_that_diverged_is_drawn(tmp_path, hole):
    history = {**HISTORY, "train_loss": [2.0, hole, *HISTORY["train_loss"][2:]], "val_loss": [hole] * 12}
    draw_curves(history, 12, "cnn", tmp_path / "curves.png")

    assert count_of(FIRST, pixels_of(tmp_path / "curves.png")) > 100


def test_quantity_without_series_has_no_panel(tmp_path):
    draw_curves(HISTORY, 5, "cnn", tmp_path / "both.png")
    draw_curves({"val_accuracy": HISTORY["val_accuracy"], "val_loss": []}, 5, "cnn", tmp_path / "one.png")

    assert pixels_of(tmp_path / "one.png").shape[1] < 0.6 * pixels_of(tmp_path / "both.png").shape[1]


def test_long_title_is_wrapped_not_clipped(tmp_path):
    draw_curves(HISTORY, 5, "cnn", tmp_path / "short.png")
    draw_curves(HISTORY, 5, "a title of many words " * 15, tmp_path / "long.png")

    short, long = pixels_of(tmp_path / "short.png"), pixels_of(tmp_path / "long.png")
    assert abs(long.shape[1] - short.shape[1]) < 60
    assert (long[:, :8] == 255).all()
    assert (long[:, -8:] == 255).all()


def test_history_of_nothing_known_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"No curves to draw.*'lr'"):
        draw_curves({"lr": [0.1]}, 1, "cnn", tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []


def test_threads_draw_the_same_picture_and_leave_matplotlib_as_it_was(tmp_path):
    before = dict(matplotlib.rcParams)
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda path: draw_curves(HISTORY, 7, "cnn", path), paths))

    first, *others = (pixels_of(path) for path in paths)
    assert all(np.array_equal(first, other) for other in others)
    assert dict(matplotlib.rcParams) == before
