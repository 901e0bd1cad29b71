"""The predictions table: what goes in comes out, in label order."""

import numpy as np
import pytest

from tasks import predictions

NAMES = ["zebra", "ant", "probability.", "$5 → $10"]
PROBABILITIES = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1], [0.4, 0.4, 0.1, 0.1]], dtype=np.float32)


@pytest.fixture
def table():
    return predictions.make_table(["c", "a", "b"], [3, 1, 1], PROBABILITIES, NAMES)


def test_table_gives_back_what_it_was_made_of(table):
    assert table["image_id"].tolist() == ["c", "a", "b"]
    assert predictions.labels(table).tolist() == [3, 1, 1]
    assert predictions.class_names(table) == NAMES
    np.testing.assert_array_equal(predictions.probabilities(table), PROBABILITIES.astype(np.float64))


def test_types_are_those_promised(table):
    assert predictions.labels(table).dtype == np.int64
    assert predictions.probabilities(table).dtype == np.float64
    assert predictions.correct(table).dtype == np.bool_


def test_most_probable_label_is_predicted_and_the_lower_among_equals(table):
    assert predictions.predicted(table).tolist() == [3, 0, 0]
    assert predictions.correct(table).tolist() == [True, False, False]


def test_written_table_reads_back_the_same(table, tmp_path):
    path = tmp_path / "new" / "predictions.parquet"
    predictions.write(table, path)
    read = predictions.read(path)

    assert predictions.class_names(read) == NAMES
    assert read["image_id"].tolist() == ["c", "a", "b"]
    np.testing.assert_array_equal(predictions.labels(read), predictions.labels(table))
    np.testing.assert_array_equal(predictions.probabilities(read), predictions.probabilities(table))
    assert [file.name for file in path.parent.iterdir()] == ["predictions.parquet"]


def test_failed_write_leaves_the_former_table(table, tmp_path, monkeypatch):
    path = tmp_path / "predictions.parquet"
    predictions.write(table, path)
    before = path.read_bytes()

    def write_half(_self, target, **_options):
        target.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(type(table), "to_parquet", write_half)
    with pytest.raises(OSError, match="no space"):
        predictions.write(table, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.parquet"]


def test_classes_in_another_order_are_the_same_probabilities_under_the_same_names(table):
    ordered = predictions.in_class_order(table, NAMES[::-1])
    assert predictions.class_names(ordered) == NAMES[::-1]
    np.testing.assert_array_equal(predictions.probabilities(ordered), predictions.probabilities(table)[:, ::-1])
    assert list(ordered.columns[:2]) == ["image_id", "label"]


def test_boxes_alone_have_no_class_order():
    boxes = np.full((1, 4), 0.5)
    table = predictions.make_table(["a"], [0], None, [], (boxes, boxes))
    assert predictions.in_class_order(table, NAMES).equals(table)
