"""One promotion or rollback as one step: read, compare, write, read back, record, while nobody else is at it."""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline_config.errors import DarkroomError
from pipeline_config.settings import Settings
from tasks import manifest as manifests
from tasks import predictions, tracking
from tasks.promote.card import write_card
from tasks.promote.card_facts import gather_facts
from tasks.promote.comparison import COMPARING, compare
from tasks.promote.data_gates import data_gates
from tasks.promote.decide import decide
from tasks.promote.gates import threshold_gates
from tasks.promote.proposal import Proposal
from tasks.promote.servable import servable_gate
from tasks.records import Approval, Decision, EvaluatedModel, Gate
from tasks.tracking import Champion, Changes, RunTags


def propose(proposal: Proposal) -> Decision:
    """Hold the challenger against its gates and move the aliases as they decide; the record comes before the move.

    In the mode `approval` a challenger that passes is registered and `waiting`; `conclude` takes what a person says.

    Raises:
        DarkroomError: another promotion is at work for half an hour, or the aliases are not where they were put.
    """
    name, moves = proposal.name, proposal.promotion.mode != "dry_run"
    with tracking.registry_held(name):
        if moves:
            tracking.settle(name)
        champion = tracking.champion(name)
        if champion and champion.run_id == proposal.challenger.run_id:
            return _champion_already(proposal, champion)
        action = "promote" if moves else "dry_run"
        with _record(action, proposal) as run_id:
            version = tracking.register(name, proposal.challenger, proposal.tags, run_id) if moves else None
            gates = _judge(proposal, champion, version, run_id)
            decision, changes = _decide(proposal, gates, champion, version)
            if decision.decision == "promoted" and proposal.promotion.mode == "approval":
                decision, changes = _wait(decision)
            _carry_out(proposal, run_id, decision, changes)
    return decision


def conclude(proposal: Proposal, waiting: Decision, approval: Approval) -> Decision:
    """What becomes of a challenger that waited for a person; the champion may have moved meanwhile.

    Args:
        proposal: as it was given to `propose`.
        waiting: what that returned.
        approval: what the person said.

    Raises:
        DarkroomError: as of `propose`.
    """
    name = proposal.name
    with tracking.registry_held(name):
        tracking.settle(name)
        champion = tracking.champion(name)
        if champion and champion.run_id == proposal.challenger.run_id:
            return _champion_already(proposal, champion)
        with _record("approve", proposal) as run_id:
            gates = _judge_again(proposal, waiting, champion, run_id) if approval.approved else list(waiting.gates)
            gates.append(Gate("approved", approval.approved, approval.detail))
            decision, changes = _decide(proposal, gates, champion, waiting.version)
            _carry_out(proposal, run_id, decision, _without_others(changes, name, waiting.version))
    return decision


def _record(action: str, proposal: Proposal) -> AbstractContextManager[str]:
    return tracking.promotion_run(action, proposal.challenger.name, proposal.tags, proposal.pipeline_run_id)


def _champion_already(proposal: Proposal, champion: Champion) -> Decision:
    detail = proposal.with_reason(f"{proposal.challenger.name} is the champion already")
    return Decision("kept", champion.version, (), detail)


def _carry_out(proposal: Proposal, run_id: str, decision: Decision, changes: Changes) -> None:
    """Write down the decision and the card that tells it, then do it."""
    with TemporaryDirectory(dir=Settings().cache) as temporary:
        card = None
        if decision.version is not None:
            card = Path(temporary)
            write_card(gather_facts(decision.version, proposal.challenger, decision, proposal.tags), card)
        tracking.decided(run_id, decision, changes, card)
    tracking.carry_out(proposal.name, run_id)


def _judge(proposal: Proposal, champion: Champion | None, version: int | None, run_id: str) -> list[Gate]:
    challenger, promotion = proposal.challenger, proposal.promotion
    gates = threshold_gates(challenger.metrics, promotion.thresholds)
    if promotion.sound_data:
        gates += _judge_data(challenger)
    if champion:
        gates += compare(proposal, champion, run_id)
    if promotion.servable:
        uri = challenger.model_uri if version is None else f"models:/{proposal.name}/{version}"
        gates.append(servable_gate(uri, challenger.run_id))
    return gates


def _judge_again(proposal: Proposal, waiting: Decision, champion: Champion | None, run_id: str) -> list[Gate]:
    """The gates as they were, but those of the comparison, which is made with the champion of now."""
    others = [gate for gate in waiting.gates if gate.name not in COMPARING]
    return others + (compare(proposal, champion, run_id) if champion else [])


def _decide(
    proposal: Proposal, gates: Sequence[Gate], champion: Champion | None, version: int | None
) -> tuple[Decision, Changes]:
    """The decision, and where it puts the aliases."""
    word, detail = decide(gates, champion is not None)
    detail = proposal.with_reason(detail)
    if version is None:
        return Decision("dry_run", None, tuple(gates), f"nothing moves; it would be {word}: {detail}"), {}
    decision = Decision(word, version, tuple(gates), detail)
    if word != "promoted":
        return decision, {"challenger": version}
    dethroned = {"previous": champion.version} if champion else {}
    return decision, {**dethroned, "champion": version, "challenger": None}


def _wait(decision: Decision) -> tuple[Decision, Changes]:
    waiting = Decision("waiting", decision.version, decision.gates, f"{decision.detail}; a person is asked")
    return waiting, {"challenger": decision.version}


def _without_others(changes: Changes, name: str, version: int | None) -> Changes:
    """The alias `challenger` may belong to a model that was proposed while the person thought."""
    if tracking.aliases(name).get("challenger") == version:
        return changes
    return {alias: put for alias, put in changes.items() if alias != "challenger"}


def _judge_data(challenger: EvaluatedModel) -> list[Gate]:
    """Gates of the data; where what the pipeline logged about them is gone, the one that says so."""
    try:
        pipeline_run_id, experiment = tracking.find_configuration(challenger.run_id)
        with TemporaryDirectory(dir=Settings().cache) as folder:
            report = tracking.fetch_file(pipeline_run_id, "data/validation_report.json", Path(folder))
            manifest, _ = tracking.fetch_manifest(pipeline_run_id, Path(folder))
            found, table = json.loads(report.read_text(encoding="utf-8")), manifests.read(manifest)
    except DarkroomError as error:
        return [Gate("data_validated", False, f"whether the data were sound cannot be told: {error}")]
    tested = list(predictions.read(challenger.predictions)["image_id"])
    return data_gates(found, table, tested, leaks_dropped=experiment.validation.drop_leaking)


def roll_back(name: str, flow_run_id: str | None) -> Decision:
    """Put `previous` back as champion once it is proved to answer as logged; the champion becomes `previous`.

    Args:
        name: of the registered model, which is the experiment's.
        flow_run_id: who does it.

    Raises:
        DarkroomError: there is no champion or no `previous`; another promotion is at work for half an hour.
    """
    with tracking.registry_held(name):
        tracking.settle(name)
        champion, previous = tracking.champion(name), tracking.champion(name, "previous")
        if champion is None or previous is None:
            raise DarkroomError(
                f"{name}: expected a champion and a version `previous` to put back; received the aliases "
                f"{', '.join(tracking.aliases(name)) or 'none'}; `darkroom history {name}` tells what was promoted"
            )
        digests = (previous.data_digest, previous.test_digest)
        tags = RunTags(name, previous.config_digest or "", flow_run_id, *digests)
        with tracking.promotion_run("rollback", f"to version {previous.version}", tags, None) as run_id:
            gate = servable_gate(previous.model_uri, previous.run_id)
            decision, changes = _decide_rollback(champion, previous, gate)
            tracking.decided(run_id, decision, changes)
            tracking.carry_out(name, run_id)
    return decision


def _decide_rollback(champion: Champion, previous: Champion, gate: Gate) -> tuple[Decision, Changes]:
    if not gate.passed:
        return Decision("refused", None, (gate,), f"version {champion.version} stays champion: {gate.detail}"), {}
    detail = f"version {previous.version} is champion again, version {champion.version} is previous"
    changes = {"champion": previous.version, "previous": champion.version}
    return Decision("rolled_back", None, (gate,), detail), changes
