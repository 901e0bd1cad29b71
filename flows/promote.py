"""The best model by validation becomes challenger, and champion if its gates pass."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import flow
from prefect.runtime import flow_run

from flows.approval import ask
from flows.earlier import find_manifest
from pipeline_config.errors import DarkroomError, GateRefused
from pipeline_config.experiment import Experiment, Promotion
from pipeline_config.settings import Settings
from tasks import manifest as manifests
from tasks import tracking
from tasks.promote.challenger import Challenger, choose_challenger
from tasks.promote.proposal import Proposal
from tasks.promote.task import conclude_promotion, promote_model
from tasks.records import Decision, EvaluatedModel, Manifest
from tasks.tracking import RunTags


@flow(name="promote", validate_parameters=False)
def promote(
    models: list[EvaluatedModel], promotion: Promotion, tags: RunTags, run_id: str, manifest: Manifest
) -> Decision:
    """Choose the challenger by the validation metric and let the gates decide, and a person where that is asked for.

    Args:
        models: evaluated models of one pipeline, at least one.
        promotion: the experiment's section.
        tags: of the pipeline.
        run_id: on which the decision is recorded.
        manifest: of the data that they were trained on.
    """
    if promotion.mode == "disabled":
        return Decision("disabled", None, (), "promotion.mode is disabled")
    chosen = choose(models, promotion, manifest)
    proposal = Proposal(chosen.model, promotion, tags, run_id, manifest, chosen.why)
    decision = promote_model(proposal)
    if decision.decision != "waiting":
        return decision
    return conclude_promotion(proposal, decision, ask(proposal, decision))


def choose(models: list[EvaluatedModel], promotion: Promotion, manifest: Manifest) -> Challenger:
    """The best model by the validation metric, or the cheapest of those that are tied with it."""
    validation = manifests.usable(manifests.read(manifest.path), "validation")
    return choose_challenger(models, promotion.metric, len(validation))


@flow(name="promote run")
def promote_run(run_id: str) -> Decision:
    """Propose one evaluated model of an earlier pipeline, with the gates that its experiment set then.

    It is asked for by a person, and so moves whatever `promotion.mode` was.

    Args:
        run_id: of its train run.

    Raises:
        GateRefused: a gate refused it; the decision is recorded all the same.
        DarkroomError: no such run, or none that was evaluated.
    """
    pipeline_run_id, experiment = tracking.find_configuration(run_id)
    with TemporaryDirectory(dir=Settings().cache) as folder:
        model, tags = tracking.find_evaluated(run_id, Path(folder))
        asked = experiment.promotion.model_copy(update={"mode": "enabled"})
        images = _find_images(pipeline_run_id, experiment, tags)
        tags = replace(tags, flow_run_id=flow_run.id)
        decision = promote_model(Proposal(model, asked, tags, pipeline_run_id, images))
    if decision.decision == "refused":
        raise GateRefused(f"{model.name} is not promoted: {decision.detail}")
    return decision


def _find_images(pipeline_run_id: str, experiment: Experiment, tags: RunTags) -> Manifest | str:
    """The model's data, where a champion of other test rows must be evaluated on them; or why there are none."""
    champion = tracking.champion(tags.experiment)
    if champion is None or champion.test_digest == tags.test_digest:
        return "the champion moved meanwhile, to one of other test rows; promote again"
    try:
        return find_manifest(pipeline_run_id, experiment, tags)
    except DarkroomError as error:
        return str(error)
