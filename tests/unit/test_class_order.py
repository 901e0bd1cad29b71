"""The order of the classes in a confusion matrix: those that are confused stand together."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.evaluate.class_order import confusion_order


def confused(classes, *pairs):
    """Counts of 100 rows a class, of which 30 of the first of each pair go to the second."""
    counts = np.eye(classes, dtype=np.int64) * 100
    for label, other in pairs:
        counts[label, label] -= 30
        counts[label, other] += 30
    return counts


def test_classes_confused_with_each_other_become_neighbours():
    order = confusion_order(confused(6, (0, 3), (4, 1))).tolist()
    assert sorted(order) == list(range(6))
    assert abs(order.index(0) - order.index(3)) == 1
    assert abs(order.index(1) - order.index(4)) == 1


def test_a_chain_of_confusions_is_laid_out_as_a_chain():
    order = confusion_order(confused(5, (2, 0), (0, 4), (4, 1), (1, 3))).tolist()
    assert order == [2, 0, 4, 1, 3]


def test_shares_of_a_class_count_and_not_its_size():
    counts = confused(4, (0, 2))
    counts[1] *= 1_000
    counts[1, 0] = 5_000  # many rows, but few of this class
    order = confusion_order(counts).tolist()
    assert abs(order.index(0) - order.index(2)) == 1


def test_few_classes_and_classes_without_confusion_keep_the_order_of_labels():
    assert confusion_order(confused(3, (0, 2))).tolist() == [0, 1, 2]
    assert confusion_order(confused(30)).tolist() == list(range(30))
    assert confusion_order(confused(30) * 0).tolist() == list(range(30))
    assert confusion_order(np.array([[7]])).tolist() == [0]


def test_classes_that_nothing_is_confused_with_come_last_in_the_order_of_labels():
    order = confusion_order(confused(40, (30, 3), (7, 3))).tolist()
    assert order[:3] in ([7, 3, 30], [30, 3, 7])
    assert order[3:] == sorted(order[3:])


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 12), st.integers(0, 10_000), st.floats(0, 1))
def test_every_class_has_one_place_and_always_the_same(classes, seed, share):
    generator = np.random.default_rng(seed)
    counts = generator.poisson(5, (classes, classes)) * (generator.random((classes, classes)) < share)
    counts[np.diag_indices(classes)] += 3
    order = confusion_order(counts)

    assert sorted(order) == list(range(classes))
    assert (order == confusion_order(counts.copy())).all()
