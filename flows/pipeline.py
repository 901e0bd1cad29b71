"""The whole chain: prepare, train, evaluate, promote, below one pipeline run in MLflow."""

from dataclasses import dataclass

from prefect import flow

from flows.evaluate import evaluate
from flows.outcomes import Failure, ModelsFailed
from flows.promote import choose, promote
from flows.stages import Clock, OpenRun, all_failed, open_run, prepare_and_train
from flows.start import check_answerable, check_places, load_checked
from flows.sweep import Swept
from pipeline_config.experiment import Experiment
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.compare.task import log_comparison
from tasks.processes import open_nursery
from tasks.progress import say
from tasks.reasons import reason
from tasks.records import Changed, Decision, EvaluatedModel, Manifest


@dataclass(frozen=True)
class PipelineResult:
    """What a pipeline run came to.

    Attributes:
        best: the model that was proposed: the best by the validation metric, or the cheapest of those tied with it.
        swept: what the experiment's sweep came to; None where it has none, or it failed.
        failures: models that failed, with the reason; the others are in `models`.
        seconds: wall time of each stage.
    """

    experiment: str
    pipeline_run_id: str
    data_digest: str
    models: tuple[EvaluatedModel, ...]
    best: EvaluatedModel
    decision: Decision
    failures: tuple[Failure, ...]
    seconds: dict[str, float]
    tracking_uri: str
    swept: Swept | None = None


@flow(name="pipeline", flow_run_name="{experiment}")
def pipeline(
    experiment: str, overrides: list[str] | None = None, sweep_only: bool = False, changed: Changed | None = None
) -> PipelineResult:
    """Run an experiment from its data to the registry's decision.

    Args:
        experiment: a shipped experiment's name, or the path of a YAML file.
        overrides: `dotted.key=value`, as with `--set`.
        sweep_only: leave the other models and the registry out.
        changed: why it is run, as a schedule found it; kept in `changes/` of the run and as its description.

    Raises:
        ConfigurationError: the file or an override is wrong.
        DataError: the data failed validation; nothing was trained.
        ModelsFailed: some models failed; the others were trained, evaluated and considered for promotion.
    """
    check_places(Settings())
    config = load_checked(experiment, overrides or [], sweep_only)
    check_answerable(config.promotion, Settings())
    with open_run(config, "pipeline") as run:
        if changed:
            tracking.log_changes(run.id, changed)
        result = _run_stages(config, run)
        tracking.log_metrics(run.id, result.best.metrics)
        tracking.set_tags(run.id, {"darkroom.best_model": result.best.name})
        if result.failures:
            raise ModelsFailed(result, result.failures, "evaluated")
    return result


def _run_stages(config: Experiment, run: OpenRun) -> PipelineResult:
    clock = Clock()
    trained = prepare_and_train(config, run, clock)
    manifest = trained.manifest
    if config.promotion.servable and config.promotion.mode != "disabled":
        open_nursery(models_alone=True)  # which imports meanwhile what the gate `servable` needs
    with clock.stage("evaluate"):
        evaluated, not_evaluated = evaluate(trained.models, manifest, trained.elsewhere)
    failures = (*trained.failures, *not_evaluated)
    if not evaluated:
        raise all_failed(failures)
    with clock.stage("promote"):
        decision = promote(evaluated, config.promotion, trained.tags, run.id, manifest)
    with clock.stage("compare"):
        _compare(evaluated, run.id, manifest)
    best = choose(evaluated, config.promotion, manifest).model
    return PipelineResult(
        experiment=config.name,
        pipeline_run_id=run.id,
        data_digest=manifest.digest,
        models=tuple(evaluated),
        best=best,
        decision=decision,
        failures=failures,
        seconds=clock.seconds,
        tracking_uri=Settings().tracking_uri,
        swept=trained.swept,
    )


def _compare(evaluated: list[EvaluatedModel], run_id: str, manifest: Manifest) -> None:
    """The models side by side in the pipeline's run; where that fails, nothing else is lost."""
    error = log_comparison(evaluated, run_id, manifest, return_state=True).result(raise_on_failure=False)
    if isinstance(error, BaseException):
        say(f"warning: the comparison of the models could not be logged: {reason(error)}")
