"""Promote the best model as a Prefect task."""

from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import task

from pipeline_config.errors import DarkroomError
from pipeline_config.experiment import Promotion
from pipeline_config.settings import Settings
from tasks import predictions, tracking
from tasks.promote.decide import decide
from tasks.promote.gates import Side, champion_gates, threshold_gates
from tasks.records import Decision, EvaluatedModel, Gate
from tasks.tracking import Champion, RunTags


@task(name="promote")
def promote_model(challenger: EvaluatedModel, promotion: Promotion, tags: RunTags, run_id: str) -> Decision:
    """Hold the challenger against its gates, register it, and move the alias where every gate passed.

    All gates are judged before the first write, so that a failure leaves nothing half-registered.
    """
    name = tags.experiment
    champion = tracking.champion(name)
    if champion and champion.run_id == challenger.run_id:
        return Decision("kept", champion.version, (), f"{challenger.name} is the champion already")
    gates = threshold_gates(challenger.metrics, promotion.thresholds)
    if champion:
        gates += _compare(challenger, champion, tags)
    word, detail = decide(gates, champion is not None)
    version = tracking.register(name, challenger, tags)
    if word == "promoted":
        tracking.crown(name, version, champion)
    else:
        tracking.set_alias(name, "challenger", version)
    decision = Decision(word, version, tuple(gates), detail)
    tracking.record_decision(name, run_id, decision)
    return decision


def _compare(challenger: EvaluatedModel, champion: Champion, tags: RunTags) -> list[Gate]:
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
    )
