"""Label-error candidates: which test rows are named, in which order, and what is written where there are none."""

import numpy as np
import pandas as pd
import pytest

from tasks import predictions
from tasks.evaluate.label_errors import find_label_errors, write_label_errors

COLUMNS = ["image_id", "given_class", "suggested_class", "probability_of_given", "probability_of_suggested", "quality"]


def sure_table(labels, classes=3, sure=0.9, names=None):
    """A model that is right about every row, and surer the later the row."""
    labels = np.asarray(labels)
    confidence = np.linspace(sure, sure + 0.05, len(labels))[:, None]
    probabilities = np.where(np.eye(classes, dtype=bool)[labels], confidence, (1 - confidence) / (classes - 1))
    ids = [f"{row:064x}" for row in range(len(labels))]
    return predictions.make_table(ids, labels, probabilities, names or [f"class {label}" for label in range(classes)])


def mislabel(table, labels):
    """The table with other labels at these rows."""
    changed = table.copy()
    changed.loc[list(labels), "label"] = list(labels.values())
    return changed


@pytest.fixture
def mislabelled():
    """Of 90 rows 20, 41 and 67 bear a wrong label."""
    return mislabel(sure_table(np.arange(90) % 3), {20: 0, 41: 1, 67: 2})


def test_wrong_labels_are_found_the_most_doubtful_first_with_what_they_should_be(mislabelled):
    found = find_label_errors(mislabelled)

    assert found.columns.tolist() == COLUMNS
    assert found["image_id"].tolist() == [f"{row:064x}" for row in (67, 41, 20)]  # the later, the surer
    assert found["given_class"].tolist() == ["class 2", "class 1", "class 0"]
    assert found["suggested_class"].tolist() == ["class 1", "class 2", "class 2"]
    probabilities = predictions.probabilities(mislabelled)[[67, 41, 20]]
    assert found["probability_of_suggested"].tolist() == probabilities.max(axis=1).tolist()
    assert found["probability_of_given"].to_numpy() == pytest.approx((1 - probabilities.max(axis=1)) / 2)
    expected = 0.5 + (found["probability_of_given"] - found["probability_of_suggested"]) / 2
    assert found["quality"].to_numpy() == pytest.approx(expected.to_numpy())


def test_the_order_of_rows_changes_nothing(mislabelled):
    mislabelled.iloc[20, 2:] = mislabelled.iloc[41, 2:].to_numpy()  # two of equal quality
    expected = find_label_errors(mislabelled)
    assert expected["image_id"].tolist() == [f"{row:064x}" for row in (67, 20, 41)]
    shuffled = pd.concat([mislabelled[45:], mislabelled[:45][::-1]])
    pd.testing.assert_frame_equal(find_label_errors(shuffled), expected)


def test_an_unsure_mistake_is_the_model_s_and_no_candidate(mislabelled):
    probabilities = [f"probability.class {label}" for label in range(3)]
    mislabelled.loc[67, probabilities] = [0.3, 0.36, 0.34]
    assert f"{67:064x}" not in set(find_label_errors(mislabelled)["image_id"])


@pytest.mark.parametrize(
    "table",
    [
        sure_table(np.arange(30) % 3),
        sure_table([0]),
        sure_table([1] * 20),
        sure_table([0] * 20),
        sure_table([0, 2]),
        sure_table(np.arange(20) % 2, classes=120),
        mislabel(sure_table([1] * 20), {4: 1}),
        sure_table([0, 1]).iloc[:0],
    ],
    ids=["all right", "one row", "one class", "first class", "two rows", "classes without rows", "same", "no rows"],
)
def test_where_nothing_is_doubtful_there_is_a_header_alone(tmp_path, table):
    write_label_errors(find_label_errors(table), tmp_path / "label_errors.csv")
    assert (tmp_path / "label_errors.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_a_wrong_label_is_found_beside_classes_without_rows():
    table = mislabel(sure_table(np.arange(60) % 2, classes=120), {58: 1})
    assert find_label_errors(table)["suggested_class"].tolist() == ["class 0"]


def test_the_csv_is_read_back_as_it_was_written(tmp_path, mislabelled):
    found = find_label_errors(mislabelled)
    write_label_errors(found, tmp_path / "label_errors.csv")
    again = pd.read_csv(tmp_path / "label_errors.csv", dtype={"image_id": str})
    pd.testing.assert_frame_equal(again, found, rtol=0, atol=1e-6, check_dtype=False)


def test_nothing_is_said_on_the_way(capfd, mislabelled):
    find_label_errors(mislabelled)
    assert capfd.readouterr() == ("", "")
