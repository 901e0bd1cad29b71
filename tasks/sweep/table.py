"""The trials as a table, best first: its columns, and a trial's cell as text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline_config.sweep import MAXIMIZED
from tasks.records import Trial
from tasks.sweep.settings_in_words import UNKNOWN, short_names, tell_setting
from tasks.sweep.ties import find_interval, rank, recommend

TIE = "≈"
LEGEND = (
    f"{TIE} tied with the best: its value lies within the best's 95 % interval on the validation images. "
    "The interval tells what other images would change, not what another seed would: trials that differ in train.seed "
    "alone show that. "
    "A pruned trial's value is that of its last epoch, and a failed one has none."
)


@dataclass(frozen=True)
class Row:
    """A trial in the table.

    Attributes:
        rank: among the complete ones, from 1; None of the others.
        tied: whether it is tied with the best; the best is so itself.
    """

    trial: Trial
    rank: int | None
    tied: bool
    recommended: bool

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the value, where it is known."""
        return find_interval(self.trial)


@dataclass(frozen=True)
class Column:
    """One column; `cell` gives a row's text in it."""

    heading: str
    cell: Callable[[Row], str]
    is_number: bool = True


def make_rows(trials: Sequence[Trial], metric: str) -> list[Row]:
    """Complete trials best first, then the pruned ones, then those that failed in their order."""
    ranked, found = rank(trials, metric), recommend(trials, metric)
    tied = {trial.number for trial in found.tied} if found else set()
    places = {trial.number: place for place, trial in enumerate(ranked, 1)}
    rest = sorted((trial for trial in trials if trial.number not in places), key=lambda trial: _order(trial, metric))
    return [
        Row(trial, places.get(trial.number), trial.number in tied, found is not None and trial == found.trial)
        for trial in [*ranked, *rest]
    ]


def _order(trial: Trial, metric: str) -> tuple[bool, float, int]:
    sign = -1 if MAXIMIZED[metric] else 1
    return trial.state != "pruned", sign * (trial.value or 0.0) if trial.state == "pruned" else 0.0, trial.number


def list_columns(trials: Sequence[Trial], metric: str) -> list[Column]:
    """All columns of the table."""
    return [RANK, TRIAL, STATE, *setting_columns(trials), value_column(metric), INTERVAL, *COSTS, NOTE]


def setting_columns(trials: Sequence[Trial]) -> list[Column]:
    """One a setting that was varied."""
    names = short_names(key for trial in trials for key in trial.params)
    return [_setting(key, name) for key, name in names.items()]


def value_column(metric: str) -> Column:
    """The sweep's metric."""
    return Column(metric, lambda row: _told(row.trial.value, ".4f"))


def _setting(key: str, name: str) -> Column:
    return Column(name, lambda row: tell_setting(row.trial.params[key]) if key in row.trial.params else UNKNOWN)


def _told(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else format(value, form)


def _rank(row: Row) -> str:
    return f"{row.rank or UNKNOWN}{f' {TIE}' if row.tied and row.rank != 1 else ''}"


def _interval(row: Row) -> str:
    ends = row.interval
    return UNKNOWN if ends is None else "{:.4f}..{:.4f}".format(*ends)


def _parameters(row: Row) -> str:
    value = row.trial.metrics.get("parameters")
    return UNKNOWN if value is None else f"{value:,.0f}"


def _note(row: Row) -> str:
    if row.trial.state == "pruned":
        return f"pruned after epoch {row.trial.epochs}"
    return "recommended" if row.recommended else row.trial.reason


RANK = Column("#", _rank, is_number=False)
TRIAL = Column("trial", lambda row: str(row.trial.number))
STATE = Column("state", lambda row: row.trial.state, is_number=False)
INTERVAL = Column("95 % interval", _interval)
EPOCHS = Column("epochs", lambda row: str(row.trial.epochs))
FIT_SECONDS = Column("fit s", lambda row: _told(row.trial.metrics.get("fit_seconds"), ",.1f"))
PARAMETERS = Column("parameters", _parameters)
NOTE = Column("note", _note, is_number=False)
COSTS = (EPOCHS, FIT_SECONDS, PARAMETERS)
