"""The columns of the comparison: their headings, and a row's cell as text."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tasks.compare.pair_table import TIE, UNKNOWN
from tasks.compare.rows import Row
from tasks.compare.table import SHORT

LEGEND = (
    f"{TIE} cannot be told from the best by a paired test on the same test rows (exact McNemar, Holm-corrected for the "
    "number of pairs, 5 %)"
)


@dataclass(frozen=True)
class Column:
    """One column; `cell` gives a row's text in it."""

    heading: str
    cell: Callable[[Row], str]
    is_number: bool = True


def _plain(heading: str, name: str) -> Column:
    return Column(heading, lambda row: _told(getattr(row, name)), is_number=False)


def _number(heading: str, name: str, form: str) -> Column:
    def cell(row: Row) -> str:
        value = getattr(row, name)
        return UNKNOWN if value is None else format(value, form)

    return Column(heading, cell)


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return UNKNOWN if value is None else str(value)


def _interval(row: Row) -> str:
    ends = (row.test_accuracy_low, row.test_accuracy_high)
    return UNKNOWN if None in ends else "{:.4f}..{:.4f}".format(*ends)


def _rank(row: Row) -> str:
    return f"{row.rank}{f' {TIE}' if row.tied_with_best and row.rank > 1 else ''}"


RANK = Column("#", _rank, is_number=False)
MODEL = _plain("model", "model")
FAMILY = _plain("family", "family")
ACCURACY = _number("test acc", "test_accuracy", ".4f")
INTERVAL = Column("95 % interval", _interval)
LOSS = _number("loss", "test_loss", ".4f")
F1 = _number("F1", "test_macro_f1", ".4f")
RECALL = _number("recall", "test_macro_recall", ".4f")
OUTSIDE = _number("outside acc", "outside_accuracy", ".4f")
MEAN_IOU = _number("mean IoU", "test_mean_iou", ".4f")
VALIDATION = _number("val acc", "chosen_val_accuracy", ".4f")
LAYERS = _number("layers", "layers", ",d")
DENSE_LAYERS = _number("dense layers", "dense_layers", ",d")
PARAMETERS = _number("parameters", "parameters", ",d")
TRAINABLE = _number("trainable", "trainable_parameters", ",d")
EPOCHS = _number("epochs", "epochs", ",d")
AUGMENTATION = _plain("augmentation", "augmentation")
BATCH_NORMALIZATION = _plain("batch norm.", "batch_normalization")
DROPOUT = _plain("dropout", "dropout")
OPTIMIZER = _plain("optimizer", "optimizer")
LOSS_FUNCTION = _plain("loss function", "loss")
FIT_SECONDS = _number("fit s", "fit_seconds", ",.1f")
MILLISECONDS = _number("ms per image", "predict_ms_per_image", ".3g")
DIAGNOSIS = _plain("diagnosis", "diagnosis")
COMMENT = _plain("comment", "comment")
RUN = Column("run", lambda row: row.run_id[:SHORT], is_number=False)

RESULTS = (RANK, MODEL, ACCURACY, INTERVAL, LOSS, F1, RECALL)
RARE = (OUTSIDE, MEAN_IOU)
"""What only some experiments have: images from outside, boxes."""
NETWORK = (LAYERS, DENSE_LAYERS, PARAMETERS, TRAINABLE, BATCH_NORMALIZATION, DROPOUT)
TRAINING = (AUGMENTATION, OPTIMIZER, LOSS_FUNCTION, EPOCHS, FIT_SECONDS, MILLISECONDS)

ESSENTIAL = (*RESULTS, PARAMETERS, EPOCHS, FIT_SECONDS)
ALL = (*RESULTS, *RARE, VALIDATION, FAMILY, *NETWORK, *TRAINING, DIAGNOSIS, COMMENT, RUN)


def rare_columns(rows: Iterable[Row]) -> tuple[Column, ...]:
    """Those of `RARE` in which some row has a figure."""
    rows = list(rows)
    return tuple(column for column in RARE if any(column.cell(row) != UNKNOWN for row in rows))
