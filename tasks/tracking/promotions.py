"""Promotions on record: one at a time, each a run that is written before an alias moves and closed after it.

A record is `open` until there is a decision, `decided` until the aliases are where the decision wants them, and then
`closed`. What a killed process left undone is told from that, and done or given up by the next at the registry.
"""

import getpass
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline_config.errors import DarkroomError
from pipeline_config.settings import Settings
from tasks.records import Decision, Gate
from tasks.tracking.cards import keep_card, publish_card
from tasks.tracking.registry import DECISION_FILE, aliases, as_json, decision_tags, move_aliases, record_decision
from tasks.tracking.runs import FAILURE, RunTags, end_run, run, set_tags
from tasks.tracking.store import client
from tasks.tracking.trained import fetch_file

_SECONDS_TO_WAIT = 1_800  # for another promotion, whose gates may load a large model
_STATE, _ACTION, _USER = "darkroom.promotion_state", "darkroom.action", "darkroom.user"
_BEFORE, _WANTED, _AFTER = "darkroom.aliases_before", "darkroom.aliases_wanted", "darkroom.aliases_after"
_PIPELINE = "darkroom.pipeline_run"

Aliases = Mapping[str, int]
Changes = Mapping[str, int | None]
"""Alias -> version, or None: the alias goes."""


@dataclass(frozen=True)
class Promoted:
    """One entry of the audit trail.

    Attributes:
        run_id: of the record.
        time: milliseconds since 1970.
        action: `promote`, `rollback`, or `found`: the aliases were found where no record had put them.
        decision: as in `Decision`; `interrupted` where there came none; `open` while there is none.
        version: that was proposed, or None.
        champion_before, champion_after: versions, or None.
        aliases: after it; None where the record is not closed.
        user, flow_run_id: who did it.
        state: open, decided, carried_out (all is done, but that its run goes on) or closed.
    """

    run_id: str
    time: int
    action: str
    decision: str
    detail: str
    version: int | None
    champion_before: int | None
    champion_after: int | None
    aliases: dict[str, int] | None
    user: str
    flow_run_id: str | None
    state: str


@contextmanager
def registry_held(name: str) -> Iterator[None]:
    """The registered model for this process alone, on this machine; the kernel frees it when the process ends.

    Raises:
        DarkroomError: another process has it for half an hour.
    """
    from filelock import FileLock, Timeout

    folder = Settings().home / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"registry-{name}.lock", timeout=_SECONDS_TO_WAIT):
            yield
    except Timeout:
        raise DarkroomError(
            f"registry of {name}: expected to be alone at it within {_SECONDS_TO_WAIT // 60} minutes; another "
            "promotion is at work; try again when it has ended"
        ) from None


@contextmanager
def promotion_run(action: str, about: str, tags: RunTags, pipeline_run_id: str | None) -> Iterator[str]:
    """The record of one promotion, open: who, and the aliases as they are.

    Args:
        action: promote, rollback or found.
        about: the model, as the run's name tells it.
        tags: `flow_run_id` of who promotes.
        pipeline_run_id: the run that this one is shown below, and on which the decision is told too; or None.

    Yields:
        The run's id.
    """
    with run("promotion", f"{action} {about}", tags, pipeline_run_id) as run_id:
        opened = {_ACTION: action, _USER: _user(), _BEFORE: json.dumps(aliases(tags.experiment)), _STATE: "open"}
        set_tags(run_id, opened | ({_PIPELINE: pipeline_run_id} if pipeline_run_id else {}))
        yield run_id


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return "unknown"


def decided(run_id: str, decision: Decision, changes: Changes, card: Path | None = None) -> None:
    """Write the decision and where the aliases are to be; from here on `carry_out` can be done by anybody.

    Args:
        run_id: of the record.
        decision: the decision.
        changes: of the aliases.
        card: folder of the version's model card, which is kept with the record until it is carried out; or None.
    """
    if card:
        keep_card(run_id, card)
    client().log_text(run_id, as_json(decision), DECISION_FILE)
    version = {"darkroom.version": str(decision.version)} if decision.version else {}
    set_tags(run_id, {**decision_tags(decision), **version, _WANTED: json.dumps(dict(changes)), _STATE: "decided"})


def carry_out(name: str, run_id: str) -> None:
    """Move the aliases as the record says, read them back, tell the decision and the card, close the record.

    It may be done again, whatever of it was done before.

    Raises:
        DarkroomError: the aliases are not where they were put.
    """
    tags = client().get_run(run_id).data.tags
    wanted: Changes = json.loads(tags[_WANTED])
    move_aliases(name, wanted)
    found = aliases(name)
    wrong = [
        f"{alias} at {found.get(alias)} instead of {put}" for alias, put in wanted.items() if found.get(alias) != put
    ]
    if wrong:
        raise DarkroomError(
            f"registry of {name}: expected its aliases where they were put; received {', '.join(wrong)}; "
            f"`darkroom reconcile` tries again"
        )
    decision = read_decision(run_id)
    record_decision(name, tags.get(_PIPELINE), decision)
    if decision.version is not None:
        publish_card(name, decision.version, run_id)
    set_tags(run_id, {_AFTER: json.dumps(found), _STATE: "closed"})


def settle(name: str) -> list[str]:
    """Finish what killed or failed promotions left: carry out what was decided, give up the rest; a sentence for each.

    The caller holds the registry, so that none of them is at work.
    """
    left = [entry for entry in history(name) if entry.state != "closed"]
    return [_settle(name, entry) for entry in left]


def _settle(name: str, entry: Promoted) -> str:
    if entry.state == "carried_out":
        end_run(entry.run_id, "FINISHED")
        return f"{entry.action} {entry.run_id} was interrupted at its end: its record is closed"
    if entry.state == "open":
        _give_up(name, entry.run_id)
        return f"{entry.action} {entry.run_id} was interrupted before its decision: given up, no alias had moved"
    tags = client().get_run(entry.run_id).data.tags
    now, before, wanted = (found.get("champion") for found in (aliases(name), *_planned(tags)))
    if now not in {before, wanted}:
        _close(entry.run_id, aliases(name))
        return f"{entry.action} {entry.run_id} was interrupted, and the champion moved since (version {now}): given up"
    carry_out(name, entry.run_id)
    end_run(entry.run_id, "FINISHED")
    return f"{entry.action} {entry.run_id} was interrupted after its decision ({entry.decision}): carried out"


def _planned(tags: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Aliases before a promotion, and where it wants them."""
    before = json.loads(tags[_BEFORE])
    return before, before | json.loads(tags[_WANTED])


def _give_up(name: str, run_id: str) -> None:
    for version in client().search_model_versions(f"name = '{name}'"):
        if version.tags.get("darkroom.promotion_run") == run_id:
            client().set_model_version_tag(name, version.version, "darkroom.decision", "interrupted")
    set_tags(run_id, {"darkroom.decision": "interrupted"})
    _close(run_id, aliases(name))


def _close(run_id: str, found: Aliases) -> None:
    set_tags(run_id, {_AFTER: json.dumps(dict(found)), _STATE: "closed"})
    if client().get_run(run_id).info.status == "RUNNING":
        end_run(run_id, "KILLED", "interrupted")


def reconcile(name: str) -> list[str]:
    """Bring aliases and records together; a sentence for each thing done, none where they agreed.

    Aliases that no record has put where they are get one, of the action `found`. The caller holds the registry.
    """
    done = settle(name)
    found, recorded = aliases(name), _recorded(name)
    if found == recorded:
        return done
    sentence = f"the aliases were found at {_told(found)}; on record was {_told(recorded)}: recorded"
    with promotion_run("found", name, RunTags(name, "", None), None) as run_id:
        decided(run_id, Decision("found", None, (), sentence), {})
        set_tags(run_id, {_BEFORE: json.dumps(recorded)})
        carry_out(name, run_id)
    return [*done, sentence]


def _recorded(name: str) -> dict[str, int]:
    """Aliases after the last promotion on record."""
    return next((entry.aliases for entry in history(name) if entry.aliases is not None), {})


def _told(found: Aliases) -> str:
    return ", ".join(f"{alias} {version}" for alias, version in sorted(found.items())) or "none"


def history(name: str) -> list[Promoted]:
    """The audit trail of an experiment, the latest first; empty where nothing was ever promoted."""
    experiment = client().get_experiment_by_name(name)
    if experiment is None:
        return []
    entries, token = [], None
    while True:
        page = client().search_runs(
            [experiment.experiment_id],
            "tags.`darkroom.kind` = 'promotion'",
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        entries += [_entry(found) for found in page]
        token = page.token
        if not token:
            return entries


def _entry(found: Any) -> Promoted:
    tags = found.data.tags
    before, after = (json.loads(tags[key]) if key in tags else None for key in (_BEFORE, _AFTER))
    state = tags.get(_STATE, "open")
    goes_on = state == "closed" and found.info.status == "RUNNING"
    return Promoted(
        run_id=found.info.run_id,
        time=found.info.start_time,
        action=tags.get(_ACTION, "promote"),
        decision=tags.get("darkroom.decision", "open"),
        detail=tags.get("darkroom.decision_detail", tags.get(FAILURE, "")),
        version=int(tags["darkroom.version"]) if "darkroom.version" in tags else None,
        champion_before=(before or {}).get("champion"),
        champion_after=(after or {}).get("champion"),
        aliases=after,
        user=tags.get(_USER, "unknown"),
        flow_run_id=tags.get("prefect.flow_run_id"),
        state="carried_out" if goes_on else state,
    )


def read_decision(run_id: str) -> Decision:
    """The decision of a record."""
    with TemporaryDirectory() as folder:
        content = json.loads(fetch_file(run_id, DECISION_FILE, Path(folder)).read_text(encoding="utf-8"))
    gates = tuple(Gate(**gate) for gate in content["gates"])
    return Decision(content["decision"], content["version"], gates, content["detail"])
