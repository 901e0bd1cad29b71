"""Pictures and files of an evaluation, at few and many classes, with short and long names."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks import picture_style, predictions
from tasks.evaluate.artifacts import write_evaluation
from tasks.evaluate.confusion_matrix import draw_confusion_matrix
from tasks.evaluate.galleries import draw_confident_mistakes
from tasks.evaluate.gallery_rows import confident_mistakes
from tasks.evaluate.metrics import confusion_counts
from tasks.evaluate.metrics import test_metrics as metrics_of  # pytest would collect it by its own name

# As mathematics, which matplotlib sees between two dollars, this would be an error.
LONG = r"american staffordshire terrier of $\kennel$ number "
FILES = {
    "predictions.parquet",
    "metrics.json",
    "classification_report.csv",
    "classification_report.txt",
    "confusion_matrix.csv",
    "confusion_matrix.txt",
    "confusion_matrix.png",
    "confusion_matrix_normalised.png",
    "confident_mistakes.png",
    "unsure_hits.png",
    "random_sample.png",
    "most_confused.png",
    "class_curves.png",
    "calibration.png",
    "label_errors.png",
    "label_errors.csv",
}


def make_table(classes, rows=200, long_names=False, margin=2.0):
    generator = np.random.default_rng(classes)
    labels = generator.integers(0, classes, rows)
    scores = generator.normal(size=(rows, classes))
    scores[np.arange(rows), labels] += margin
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    names = [f"{LONG * long_names}{label}" for label in range(classes)]
    return predictions.make_table([f"{row:064x}" for row in range(rows)], labels, probabilities, names)


def read_pixels(image_id):
    """Images of three sizes, the smallest 8x8."""
    height, width = [(8, 8), (40, 30), (300, 700)][int(image_id, 16) % 3]
    return np.random.default_rng(int(image_id, 16)).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def assert_sane(path):
    """Of a size to look at, with something on it, and nothing that runs into the edge."""
    pixels = pixels_of(path)
    assert all(150 < side < 2600 for side in pixels.shape[:2])
    assert pixels.std() > 5
    for edge in (pixels[:6], pixels[-6:], pixels[:, :6], pixels[:, -6:]):
        assert (edge == 255).all()


@pytest.mark.parametrize(("classes", "long_names"), [(2, False), (10, True)])
def test_every_file_is_written_from_the_one_table(tmp_path, classes, long_names):
    table = make_table(classes, long_names=long_names)
    metrics = write_evaluation(table, read_pixels, tmp_path / "evaluation", "cnn")

    folder = tmp_path / "evaluation"
    assert {file.name for file in folder.iterdir()} == FILES
    for picture in folder.glob("*.png"):
        assert_sane(picture)
    assert metrics == metrics_of(table) == json.loads((folder / "metrics.json").read_text())
    assert predictions.class_names(predictions.read(folder / "predictions.parquet")) == predictions.class_names(table)
    counts = pd.read_csv(folder / "confusion_matrix.csv", index_col="true")
    assert np.trace(counts.to_numpy()) / len(table) == pytest.approx(metrics["test_accuracy"])
    assert counts.sum(axis=1).tolist() == np.bincount(predictions.labels(table), minlength=classes).tolist()
    assert counts.columns.tolist() == [str(name) for name in counts.index] == predictions.class_names(table)
    report = pd.read_csv(folder / "classification_report.csv", index_col="class")
    assert report.loc["macro average", "f1"] == pytest.approx(metrics["test_macro_f1"])
    assert len((folder / "confusion_matrix.txt").read_text().splitlines()) == classes + 1
    assert len((folder / "classification_report.txt").read_text().splitlines()) == classes + 5


def test_metrics_file_is_json_even_where_a_metric_is_not_a_number(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_style, "save", lambda *_: None)
    table = make_table(3)
    table.iloc[0, 2:] = np.nan
    write_evaluation(table, read_pixels, tmp_path, "cnn")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    metrics = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=refuse)
    assert metrics["test_loss"] is None


def test_empty_table_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="no rows"):
        write_evaluation(make_table(3).iloc[:0], read_pixels, tmp_path / "evaluation", "cnn")
    assert not (tmp_path / "evaluation").exists()


def reds(pixels):
    return int(((pixels[..., 0] - pixels[..., 2]) > 30).sum())


@pytest.mark.parametrize(("classes", "normalised"), [(2, True), (10, False), (120, False)])
def test_a_single_error_is_seen_in_the_matrix(tmp_path, classes, normalised):
    names = [str(label) for label in range(classes)]
    perfect = np.eye(classes, dtype=np.int64) * 1_000
    draw_confusion_matrix(perfect, names, tmp_path / "perfect.png", normalised=normalised, title="cnn")
    one_wrong = perfect.copy()
    one_wrong[0, -1] = 1
    draw_confusion_matrix(one_wrong, names, tmp_path / "wrong.png", normalised=normalised, title="cnn")

    more = reds(pixels_of(tmp_path / "wrong.png")) - reds(pixels_of(tmp_path / "perfect.png"))
    assert more > 100


def test_a_matrix_of_many_long_names_is_no_larger_than_a_screen_and_cuts_none_off(tmp_path):
    names = [f"{LONG}{label}" for label in range(120)]
    counts = confusion_counts(make_table(120, rows=2_000))
    draw_confusion_matrix(counts, names, tmp_path / "matrix.png", normalised=False, title="cnn")
    assert_sane(tmp_path / "matrix.png")


def test_rows_of_the_matrix_are_the_true_classes(tmp_path):
    counts = np.array([[50, 0, 0], [0, 50, 0], [50, 0, 0]])
    draw_confusion_matrix(counts, ["a", "b", "c"], tmp_path / "matrix.png", normalised=False, title="")

    pixels = pixels_of(tmp_path / "matrix.png")
    red = (pixels[..., 0] - pixels[..., 2]) > 60
    red[:, int(0.8 * red.shape[1]) :] = False  # the colour bar
    below, to_the_right = np.argwhere(red).mean(axis=0)
    assert below > 0.6 * len(pixels)
    assert to_the_right < 0.5 * pixels.shape[1]


def test_normalised_matrix_shows_shares_of_the_true_class(tmp_path):
    for name, scale in (("few", 1), ("many", 40)):
        counts = np.array([[8 * scale, 2 * scale], [1, 3]])
        draw_confusion_matrix(counts, ["a", "b"], tmp_path / f"{name}.png", normalised=True, title="cnn")

    assert (pixels_of(tmp_path / "few.png") == pixels_of(tmp_path / "many.png")).all()


def test_matrix_of_classes_without_rows_or_of_no_rows_is_drawn(tmp_path):
    counts = np.array([[0, 0], [1, 3]])
    for normalised in (False, True):
        draw_confusion_matrix(counts, ["a", "b"], tmp_path / "one.png", normalised=normalised, title="cnn")
        draw_confusion_matrix(counts * 0, ["a", "b"], tmp_path / "none.png", normalised=normalised, title="cnn")
        assert_sane(tmp_path / "one.png")
        assert_sane(tmp_path / "none.png")


def test_mistakes_are_the_surest_first_whatever_the_order_of_rows():
    table = make_table(5, margin=0.5)
    rows = confident_mistakes(table, 12)
    shuffled = table.sample(frac=1, random_state=3)

    probabilities = predictions.probabilities(table)
    assert len(rows) == 12
    assert not predictions.correct(table)[rows].any()
    assert (np.diff(probabilities[rows].max(axis=1)) <= 0).all()
    left_out = np.setdiff1d(np.flatnonzero(~predictions.correct(table)), rows)
    assert probabilities[left_out].max() <= probabilities[rows].max(axis=1).min()
    again = shuffled["image_id"].iloc[confident_mistakes(shuffled, 12)].tolist()
    assert again == table["image_id"].iloc[rows].tolist()


def test_gallery_reads_only_what_it_draws_and_shows_its_pixels(tmp_path):
    table, asked = make_table(5, margin=0.5), []

    def read_green(image_id):
        asked.append(image_id)
        return np.full((8, 8, 3), (0, 200, 0), dtype=np.uint8)

    draw_confident_mistakes(table, read_green, tmp_path / "gallery.png", "cnn", most=7)

    assert asked == table["image_id"].iloc[confident_mistakes(table, 7)].tolist()
    green = (pixels_of(tmp_path / "gallery.png") == [0, 200, 0]).all(axis=2).sum()
    assert green == pytest.approx(7 * (1.7 * picture_style.DOTS_PER_INCH) ** 2, rel=0.05)


def test_small_image_is_enlarged_without_blur(tmp_path):
    table = predictions.make_table(["0"], [0], np.array([[0.1, 0.9]]), ["a", "b"])
    board = np.zeros((8, 8, 3), dtype=np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = (0, 200, 0)
    draw_confident_mistakes(table, lambda _: board, tmp_path / "gallery.png", "cnn")

    pixels = pixels_of(tmp_path / "gallery.png")
    greenish = (pixels[..., 1] > pixels[..., 0] + 20) & (pixels[..., 1] > pixels[..., 2] + 20)
    pure = (pixels == [0, 200, 0]).all(axis=2)
    assert pure.sum() > 0.9 * greenish.sum() > 5_000


def test_gallery_without_mistakes_says_so(tmp_path):
    def fail(_):
        raise AssertionError("no image is needed")

    draw_confident_mistakes(make_table(4, margin=60.0), fail, tmp_path / "gallery.png", "cnn")

    assert_sane(tmp_path / "gallery.png")


@pytest.mark.parametrize("name", [LONG * 3 + "end", "W" * 200, "ab", "x"])
@pytest.mark.parametrize("width", [60.0, 120.0])
def test_shortened_name_keeps_its_ends_and_fits(name, width):
    with picture_style.styled():
        short = picture_style.shorten(name, 8.0, width)
        assert picture_style.text_width(short, 8.0) <= width
        assert (short == name) == (picture_style.text_width(name, 8.0) <= width)
    assert (short[0], short[-1]) == (name[0], name[-1])
