"""What the pictures of an evaluation show: the words and values on the figure, before it becomes a PNG."""

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from tasks import picture_style, predictions
from tasks.evaluate.calibration import reliability_bins
from tasks.evaluate.curves_picture import draw_class_curves
from tasks.evaluate.galleries import draw_random_sample, draw_unsure_hits
from tasks.evaluate.gallery_rows import random_sample, unsure_hits
from tasks.evaluate.label_errors import draw_label_errors, find_label_errors
from tasks.evaluate.most_confused import draw_most_confused, most_confused
from tasks.evaluate.one_against_rest import class_curves
from tasks.evaluate.pictures import draw_pictures
from tasks.evaluate.reliability_diagram import draw_calibration

LONG = r"american staffordshire terrier of $\kennel$ number "


def make_table(classes, rows=200, prefix="class ", margin=2.0):
    generator = np.random.default_rng(classes)
    labels = generator.integers(0, classes, rows)
    scores = generator.normal(size=(rows, classes))
    scores[np.arange(rows), labels] += margin
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    names = [f"{prefix}{label}" for label in range(classes)]
    return predictions.make_table([f"{row:064x}" for row in range(rows)], labels, probabilities, names)


def said_table(pairs, sure=None):
    """Rows of (true, predicted) labels of classes a, b, c, d, with a confidence each."""
    labels, said = np.array(pairs).T
    confidence = np.full(len(pairs), 0.7) if sure is None else np.asarray(sure)
    probabilities = np.where(np.eye(4, dtype=bool)[said], confidence[:, None], (1 - confidence[:, None]) / 3)
    return predictions.make_table([f"{row:064x}" for row in range(len(pairs))], labels, probabilities, list("abcd"))


def read_pixels(image_id):
    return np.full((8, 8, 3), int(image_id, 16) % 251, dtype=np.uint8)


@pytest.fixture
def figures(monkeypatch):
    """The figures that would be saved, by the file's name."""
    kept = {}
    monkeypatch.setattr(picture_style, "save", lambda figure, path: kept.update({path.name: figure}))
    return kept


def words(figure):
    """Every text on the figure, titles and ticks included."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def shown(figure):
    """What is drawn: words, lines, bars and images."""
    content = [words(figure)]
    for ax in figure.axes:
        content += [line.get_xydata().round(9).tolist() for line in ax.lines]
        content += [np.round(patch.get_window_extent().bounds, 6).tolist() for patch in ax.patches]
        content += [np.asarray(image.get_array()).tolist() for image in ax.images]
    return content


# All of them.


def test_the_order_of_rows_changes_no_picture(figures, tmp_path):
    table = make_table(5, rows=60, margin=1.0)
    draw_pictures(table, read_pixels, tmp_path, "cnn")
    first, candidates = {name: shown(figure) for name, figure in figures.items()}, (tmp_path / "label_errors.csv")
    written = candidates.read_text()
    draw_pictures(table.sample(frac=1, random_state=1), read_pixels, tmp_path, "cnn")

    assert {name: shown(figure) for name, figure in figures.items()} == first
    assert len(first) == 7
    assert candidates.read_text() == written


def test_an_image_in_several_pictures_is_decoded_once(figures, tmp_path):
    asked = []

    def read(image_id):
        asked.append(image_id)
        return read_pixels(image_id)

    draw_pictures(make_table(3, rows=20, margin=0.5), read, tmp_path, "cnn")
    assert len(asked) == len(set(asked)) == 20
    assert len(figures) == 7


@pytest.mark.parametrize("margin", [60.0, -60.0], ids=["all right", "all wrong"])
@pytest.mark.parametrize("rows", [1, 12])
def test_extreme_models_are_drawn_too(figures, tmp_path, margin, rows):
    draw_pictures(make_table(4, rows=rows, margin=margin), read_pixels, tmp_path, "cnn")
    for figure in figures.values():
        assert any(text.startswith("cnn: ") for text in words(figure))
    number = "1 test row" if rows == 1 else "12 test rows"
    if margin > 0:
        assert f"No mistakes on {number}." in words(figures["confident_mistakes.png"])
        assert f"No mistakes on {number}." in words(figures["most_confused.png"])
        assert f"No label seems wrong among {number}." in words(figures["label_errors.png"])
    else:
        assert f"No hits on {number}." in words(figures["unsure_hits.png"])


def test_rows_without_probabilities_are_left_out_of_what_is_computed(figures, tmp_path):
    table = make_table(3, rows=30)
    table.iloc[4, 2:] = np.nan
    draw_pictures(table, read_pixels, tmp_path, "cnn")
    assert any("on 29 test rows" in text for text in words(figures["class_curves.png"]))
    assert any("on 29 test rows" in text for text in words(figures["calibration.png"]))
    assert any("of 30 test rows" in text for text in words(figures["random_sample.png"]))


# Galleries.


def test_the_least_sure_hits_come_first_each_with_the_class_that_came_second(figures, tmp_path):
    table = make_table(5, margin=1.0)
    rows = unsure_hits(table, 4)
    draw_unsure_hits(table, read_pixels, tmp_path / "hits.png", "cnn", most=4)

    probabilities = predictions.probabilities(table)[rows]
    assert predictions.correct(table)[rows].all()
    assert (np.diff(probabilities.max(axis=1)) >= 0).all()
    assert probabilities.max() <= predictions.probabilities(table)[predictions.correct(table)].max(axis=1).min() + 0.2
    captions = [text for text in words(figures["hits.png"]) if text.endswith("%")]
    names = predictions.class_names(table)
    expected = [f"{names[label]}, {of_row[label]:.1%}" for of_row in probabilities for label in np.argsort(-of_row)[:2]]
    assert captions == expected


def test_a_random_sample_is_neither_the_first_rows_nor_another_at_every_drawing(figures, tmp_path):
    table = make_table(5, rows=300)
    rows = random_sample(table, 25)
    shuffled = table.sample(frac=1, random_state=2)

    assert len(set(rows)) == 25
    assert rows.max() > 100
    again = shuffled["image_id"].iloc[random_sample(shuffled, 25)].tolist()
    assert again == table["image_id"].iloc[rows].tolist()
    draw_random_sample(table, read_pixels, tmp_path / "sample.png", "cnn")
    assert "cnn: 25 of 300 test rows, chosen at random" in words(figures["sample.png"])
    frames = [patch.get_edgecolor() for patch in figures["sample.png"].axes[0].patches if patch.get_linewidth() > 2]
    assert len(frames) == 25
    assert len(set(frames)) == 2  # right and wrong


def test_candidates_are_shown_with_both_classes_and_how_many_there_are(figures, tmp_path):
    pairs = [(0, 0), (1, 1), (2, 2), (3, 3)] * 10 + [(0, 1)] * 3
    table = said_table(pairs, sure=[0.8] * 40 + [0.95, 0.9, 0.85])
    found = find_label_errors(table)
    draw_label_errors(found, len(table), read_pixels, tmp_path / "errors.png", "cnn", most=2)

    text = words(figures["errors.png"])
    assert len(found) == 3
    assert [word for word in text if word.endswith("→")] == ["a →"] * 2
    assert [word for word in text if word.endswith("%")] == ["b, 95.0%", "b, 90.0%"]
    assert any("the 2 most doubtful of 3 among 43 test rows" in word.replace("\n", " ") for word in text)


# The most confused pairs.


def test_pairs_with_the_most_rows_come_first_with_their_share_and_their_surest_images(figures, tmp_path):
    pairs = [(0, 1)] * 7 + [(0, 0)] * 3 + [(2, 3)] * 2 + [(2, 2)] * 6 + [(3, 0)] * 2 + [(1, 1)] * 4
    table = said_table(pairs, sure=np.linspace(0.5, 0.9, len(pairs)))
    found = most_confused(table)

    assert [(pair.label, pair.taken_for, pair.count, pair.share) for pair in found] == [
        (0, 1, 7, 0.7),
        (3, 0, 2, 1.0),
        (2, 3, 2, 0.25),
    ]
    assert found[0].rows.tolist() == [6, 5, 4, 3, 2, 1, 0]
    draw_most_confused(table, read_pixels, tmp_path / "pairs.png", "cnn")
    text = words(figures["pairs.png"])
    assert [word for word in text if word.startswith(": ")] == [
        ": 7 test rows, 70.0% of the true class",
        ": 2 test rows, 100.0% of the true class",
        ": 2 test rows, 25.0% of the true class",
    ]
    assert [word for word in text if len(word) == 1] == ["a", "b", "d", "a", "c", "d"]
    grey = [int(image.get_array()[0, 0, 0]) for image in figures["pairs.png"].axes[0].images]
    assert grey == [6, 5, 4, 3, 2, 19, 18, 11, 10]


def test_at_most_six_pairs_are_shown_whatever_their_names(figures, tmp_path):
    draw_most_confused(make_table(30, rows=300, prefix=LONG, margin=0.5), read_pixels, tmp_path / "pairs.png", "cnn")
    assert words(figures["pairs.png"]).count(" → ") == 6


# Curves.


def test_areas_are_scikit_learn_s_and_those_below_the_drawn_lines():
    table = make_table(6, margin=1.0)
    labels, probabilities = predictions.labels(table), predictions.probabilities(table)
    for label, curve in enumerate(class_curves(table)):
        assert curve.roc_auc == pytest.approx(roc_auc_score(labels == label, probabilities[:, label]))
        expected = average_precision_score(labels == label, probabilities[:, label])
        assert curve.average_precision == pytest.approx(expected)
        assert (np.diff(curve.recall) * curve.precision[1:]).sum() == pytest.approx(expected)
        assert np.trapezoid(curve.true_positive_rate, curve.false_positive_rate) == pytest.approx(curve.roc_auc)
        assert (np.diff(curve.recall) > 0).all()
        fine = np.linspace(0, 1, 20_001)
        assert curve.precision_at(fine).mean() == pytest.approx(expected, abs=0.002)
        assert curve.true_positive_rate_at(fine).mean() == pytest.approx(curve.roc_auc, abs=0.002)


def test_a_class_that_no_row_or_every_row_has_gets_no_curve(figures, tmp_path):
    table = said_table([(0, 0), (1, 1), (0, 1), (1, 1)], sure=[0.9, 0.8, 0.7, 0.6])
    assert [curve.name for curve in class_curves(table)] == ["a", "b"]
    only = said_table([(2, 2), (2, 1)])
    assert class_curves(only) == []
    draw_class_curves(only, tmp_path / "none.png", "cnn")
    assert any("cnn: no curves" in text for text in words(figures["none.png"]))


@pytest.mark.parametrize("classes", [2, 10])
def test_few_classes_have_a_line_each_with_its_area(figures, tmp_path, classes):
    table = make_table(classes)
    draw_class_curves(table, tmp_path / "curves.png", "cnn")
    roc, recall = figures["curves.png"].axes
    expected = class_curves(table)
    assert [text.get_text() for text in roc.get_legend().texts] == [
        f"{curve.name}: {curve.roc_auc:.3f}" for curve in expected
    ]
    assert [text.get_text() for text in recall.get_legend().texts] == [
        f"{curve.name}: {curve.average_precision:.3f}" for curve in expected
    ]
    styles = {(line.get_color(), str(line.get_linestyle())) for line in recall.lines}
    assert len(styles) == len(recall.lines) == classes


def test_of_many_classes_the_mean_the_range_and_the_three_worst_are_drawn(figures, tmp_path):
    table = make_table(120, rows=600, prefix=LONG)
    draw_class_curves(table, tmp_path / "curves.png", "cnn")
    curves = class_curves(table)
    for ax, areas in zip(
        figures["curves.png"].axes,
        ([curve.roc_auc for curve in curves], [curve.average_precision for curve in curves]),
        strict=True,
    ):
        legend = [text.get_text() for text in ax.get_legend().texts]
        assert legend[0] == f"mean of {len(curves)} classes: {np.mean(areas):.3f}"
        assert legend[1] == f"range of the classes: {min(areas):.3f} to {max(areas):.3f}"
        worst = np.argsort(areas, kind="stable")[:3]
        assert [text.rsplit(" ", 2)[1:] for text in legend[2:]] == [
            [f"{curves[place].name.rsplit(' ', 1)[1]}:", f"{areas[place]:.3f}"] for place in worst
        ]


# Calibration.


def test_the_diagram_shows_accuracy_gap_and_rows_of_each_bin(figures, tmp_path):
    # Bin 6/15 to 7/15: 1 of 4 is right at 0.45; bin 13/15 to 14/15: 2 of 2 at 0.9.
    table = said_table([(0, 0), (1, 0), (2, 0), (3, 0), (1, 1), (2, 2)], sure=[0.45] * 4 + [0.9] * 2)
    draw_calibration(table, tmp_path / "calibration.png", "cnn")
    upper, lower = figures["calibration.png"].axes

    bars = {
        bars.get_label(): [(round(bar.get_x() * 15, 6), bar.get_y(), bar.get_height()) for bar in bars]
        for bars in upper.containers
    }
    assert bars["accuracy"] == [(6, 0, 0.25), (13, 0, 1.0)]
    assert bars["gap: too sure"] == [(6, 0.25, pytest.approx(0.2))]
    assert bars["gap: not sure enough"] == [(13, 1.0, pytest.approx(-0.1))]
    right, wrong = ([bar.get_height() for bar in bars] for bars in lower.containers)
    assert (right[6], wrong[6], right[13], wrong[13]) == (1, 3, 2, 0)
    assert sum(right) + sum(wrong) == reliability_bins(table).count.sum() == 6
    error = (4 * 0.2 + 2 * 0.1) / 6
    assert any(f"cnn: expected calibration error {error:.3f} on 6 test rows" in text for text in words(upper.figure))


# The matrix.


def test_the_matrix_says_that_it_is_sorted_and_its_names_follow_their_rows(figures, tmp_path):
    from tasks.evaluate.confusion_matrix import draw_confusion_matrix

    counts = np.eye(5, dtype=np.int64) * 50
    counts[0, 4] = counts[4, 0] = 20
    draw_confusion_matrix(counts, list("abcde"), tmp_path / "matrix.png", normalised=False, title="cnn")
    ax = figures["matrix.png"].axes[0]

    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [label.get_text() for label in ax.get_xticklabels()]
    assert abs(names.index("a") - names.index("e")) == 1
    assert ax.get_ylabel() == "true class, sorted so that confusions stand together"
    numbers = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in ax.texts}
    for (row, column), number in numbers.items():
        assert number == str(counts["abcde".index(names[row]), "abcde".index(names[column])])
    draw_confusion_matrix(counts[:3, :3], list("abc"), tmp_path / "few.png", normalised=False, title="cnn")
    assert figures["few.png"].axes[0].get_ylabel() == "true class"


def test_a_photograph_is_reduced_and_a_small_image_is_not():
    from tasks.evaluate.gallery import thumbnail

    small = np.asarray(Image.new("RGB", (40, 30), (9, 8, 7)))
    assert (thumbnail(small) == small).all()
    assert max(thumbnail(np.zeros((1200, 1600, 3), np.uint8)).shape) == 408
