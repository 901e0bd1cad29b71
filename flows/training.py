"""The chain up to trained models: no test row is used, and the registry is left alone."""

from dataclasses import dataclass

from prefect import flow

from flows.outcomes import Failure, ModelsFailed
from flows.stages import Clock, all_failed, open_run, prepare_and_train
from flows.start import check_places, load_checked
from flows.sweep import Swept
from pipeline_config.settings import Settings
from tasks.records import TrainedModel


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to.

    Attributes:
        failures: models that failed, with the reason; the others are in `models`.
        seconds: wall time of each stage.
        swept: what the experiment's sweep came to; None where it has none, or it failed.
    """

    experiment: str
    run_id: str
    data_digest: str
    models: tuple[TrainedModel, ...]
    failures: tuple[Failure, ...]
    seconds: dict[str, float]
    tracking_uri: str
    swept: Swept | None = None


@flow(name="training", flow_run_name="{experiment}")
def training(experiment: str, overrides: list[str] | None = None) -> TrainingResult:
    """Run an experiment from its data to its trained models, below one run in MLflow.

    Args:
        experiment: a shipped experiment's name, or the path of a YAML file.
        overrides: `dotted.key=value`, as with `--set`.

    Raises:
        ConfigurationError: the file or an override is wrong.
        DataError: the data failed validation; nothing was trained.
        ModelsFailed: some models failed; the others were trained.
    """
    check_places(Settings())
    config = load_checked(experiment, overrides or [])
    clock = Clock()
    with open_run(config, "training") as run:
        trained = prepare_and_train(config, run, clock)
        if not trained.models:
            raise all_failed(trained.failures)
        result = TrainingResult(
            experiment=config.name,
            run_id=run.id,
            data_digest=trained.manifest.digest,
            models=tuple(trained.models),
            failures=trained.failures,
            seconds=clock.seconds,
            tracking_uri=Settings().tracking_uri,
            swept=trained.swept,
        )
        if result.failures:
            raise ModelsFailed(result, result.failures, "trained")
    return result
