"""The registry after a promotion: taken back, told, and brought together with its records."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from prefect import flow
from rich import box
from rich.table import Table

from pipeline_config.errors import GateRefused
from tasks import tracking
from tasks.progress import console, say
from tasks.promote.task import roll_back_model
from tasks.records import Decision
from tasks.tracking import Promoted


@flow(name="rollback")
def roll_back(experiment: str) -> Decision:
    """Put the version before the champion back, once it is proved that it loads and answers as logged.

    Args:
        experiment: name of one that has a registered model.

    Raises:
        ConfigurationError: there is no such experiment.
        GateRefused: the version does not answer as logged; that is recorded all the same.
        DarkroomError: there is no version to put back.
    """
    tracking.check_registered(experiment)
    decision = roll_back_model(experiment)
    if decision.decision == "refused":
        raise GateRefused(f"{experiment} is not rolled back: {decision.detail}")
    return decision


def tell_history(experiment: str) -> dict[str, Any]:
    """The audit trail of an experiment, the latest entry first, as a table and as plain values.

    Raises:
        ConfigurationError: there is no such experiment.
    """
    tracking.check_registered(experiment)
    entries, aliases = tracking.history(experiment), tracking.aliases(experiment)
    _show(experiment, entries)
    say(", ".join(f"{alias}: version {version}" for alias, version in aliases.items()) or "no version has an alias")
    told = [{**asdict(entry), "time": _time(entry)} for entry in entries]
    return {"status": "done", "experiment": experiment, "aliases": aliases, "history": told}


def _show(experiment: str, entries: Sequence[Promoted]) -> None:
    table = Table(title=f"{experiment}: promotions", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("time", "action", "decision", "version", "champion", "by"):
        table.add_column(heading, no_wrap=True)
    table.add_column("because", overflow="fold", ratio=1)
    for entry in entries:
        version = str(entry.version or "")
        moved = _moved(entry)
        table.add_row(_time(entry)[:19], entry.action, entry.decision, version, moved, entry.user, entry.detail)
    console.print(table)


def _moved(entry: Promoted) -> str:
    """`2 → 3`, or `2` where it stayed."""
    before, after = (str(version or "none") for version in (entry.champion_before, entry.champion_after))
    if entry.aliases is None:
        return f"{before} → ?"
    return after if before == after else f"{before} → {after}"


def _time(entry: Promoted) -> str:
    return datetime.fromtimestamp(entry.time / 1000, UTC).isoformat(timespec="seconds")
