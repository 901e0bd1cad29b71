"""One promotion or rollback as one step: read, compare, write, read back, record, while nobody else is at it."""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Promotion
from pipeline_config.settings import Settings
from tasks import manifest as manifests
from tasks import predictions, tracking
from tasks.promote.card import write_card
from tasks.promote.card_facts import gather_facts
from tasks.promote.data_gates import data_gates
from tasks.promote.decide import decide
from tasks.promote.gates import Side, champion_gates, threshold_gates
from tasks.promote.servable import servable_gate
from tasks.records import Decision, EvaluatedModel, Gate
from tasks.tracking import Champion, Changes, RunTags


def propose(challenger: EvaluatedModel, promotion: Promotion, tags: RunTags, pipeline_run_id: str) -> Decision:
    """Hold the challenger against its gates and move the aliases as they decide; the record comes before the move.

    Args:
        challenger: an evaluated model.
        promotion: its gates; in the mode `dry_run` nothing is registered or moved.
        tags: of the pipeline; `flow_run_id` of who promotes.
        pipeline_run_id: the run that the record is shown below.

    Raises:
        DarkroomError: another promotion is at work for half an hour, or the aliases are not where they were put.
    """
    name, moves = tags.experiment, promotion.mode != "dry_run"
    with tracking.registry_held(name):
        if moves:
            tracking.settle(name)
        champion = tracking.champion(name)
        if champion and champion.run_id == challenger.run_id:
            return Decision("kept", champion.version, (), f"{challenger.name} is the champion already")
        action = "promote" if moves else "dry_run"
        with tracking.promotion_run(action, challenger.name, tags, pipeline_run_id) as run_id:
            version = tracking.register(name, challenger, tags, run_id) if moves else None
            gates = _judge(challenger, champion, promotion, tags, version)
            decision, changes = _decide(gates, champion, version)
            with TemporaryDirectory(dir=Settings().cache) as folder:
                tracking.decided(run_id, decision, changes, _write_card(challenger, decision, tags, Path(folder)))
            tracking.carry_out(name, run_id)
    return decision


def _write_card(challenger: EvaluatedModel, decision: Decision, tags: RunTags, folder: Path) -> Path | None:
    """The registered version's model card, with the decision in it."""
    if decision.version is None:
        return None
    write_card(gather_facts(decision.version, challenger, decision, tags), folder)
    return folder


def _judge(
    challenger: EvaluatedModel, champion: Champion | None, promotion: Promotion, tags: RunTags, version: int | None
) -> list[Gate]:
    gates = threshold_gates(challenger.metrics, promotion.thresholds)
    if promotion.sound_data:
        gates += _judge_data(challenger)
    if champion:
        gates += _compare(challenger, champion, tags, promotion.margin)
    if promotion.servable:
        uri = challenger.model_uri if version is None else f"models:/{tags.experiment}/{version}"
        gates.append(servable_gate(uri, challenger.run_id))
    return gates


def _decide(gates: Sequence[Gate], champion: Champion | None, version: int | None) -> tuple[Decision, Changes]:
    """The decision, and where it puts the aliases."""
    word, detail = decide(gates, champion is not None)
    if version is None:
        return Decision("dry_run", None, tuple(gates), f"nothing moves; it would be {word}: {detail}"), {}
    decision = Decision(word, version, tuple(gates), detail)
    if word != "promoted":
        return decision, {"challenger": version}
    dethroned = {"previous": champion.version} if champion else {}
    return decision, {**dethroned, "champion": version, "challenger": None}


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


def _compare(challenger: EvaluatedModel, champion: Champion, tags: RunTags, margin: float | None) -> list[Gate]:
    """Gates of the comparison with the champion; where its predictions are gone, the one that says so."""
    try:
        with TemporaryDirectory(dir=Settings().cache) as folder:
            theirs = predictions.read(tracking.download_predictions(champion.run_id, Path(folder)))
    except DarkroomError as error:
        return [Gate("same_test_rows", False, f"the champion (version {champion.version}) cannot be compared: {error}")]
    ours = predictions.read(challenger.predictions)
    return champion_gates(
        Side(f"the challenger {challenger.name}", ours, challenger.test_digest, tags.data_digest),
        Side(f"the champion (version {champion.version})", theirs, champion.test_digest, champion.data_digest),
        margin,
    )


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
