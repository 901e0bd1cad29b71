"""Before a run starts: what would stop it is looked for at once, and heavy libraries are loaded meanwhile."""

import importlib
import logging
from typing import TYPE_CHECKING

from pipeline_config.errors import ConfigurationError
from pipeline_config.experiment import Dataset, Experiment, Promotion
from pipeline_config.loading import load_experiment
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.disk import check_space
from tasks.processes import open_nursery
from tasks.progress import console, without_native_lines
from tasks.servers import check_answers

if TYPE_CHECKING:
    from flows.prefect_server import TemporaryServer


def load_checked(experiment: str, overrides: list[str], sweep_only: bool = False) -> Experiment:
    """The experiment, its source's options and its families' parameters checked against their own files.

    Args:
        experiment: a shipped experiment's name, or the path of a YAML file.
        overrides: `dotted.key=value`, as with `--set`.
        sweep_only: leave all but its sweep out.

    Raises:
        ConfigurationError: anything in it is wrong, a value of the sweep's space included.
        DataError: a folder of images from elsewhere is missing, or the data set that it is held against.
    """
    from flows.runners import check_runner
    from tasks.ingest.listing import source_and_options
    from tasks.ingest.outside_dataset import unlabelled_folder
    from tasks.train.registry import checked_params

    config = load_experiment(experiment, overrides)
    if sweep_only:
        config = _for_sweep_alone(config)
    source_and_options(config.dataset)
    for model in config.models:
        checked_params(model)
    check_runner(config.execution)
    if config.sweep:
        _check_sweep(config)
    if config.evaluation.outside is not None:
        _check_outside(config.evaluation.outside, config.dataset)
    unlabelled_folder(config.evaluation.unlabelled)
    return config


def _for_sweep_alone(experiment: Experiment) -> Experiment:
    """The experiment with the sweep's model alone, and nothing for the registry.

    Raises:
        ConfigurationError: it has no sweep.
    """
    if experiment.sweep is None:
        raise ConfigurationError(
            f"{experiment.name}: expected a section sweep; received none; add one to the file, as "
            "sweep: {model: NAME, space: {params.dropout: [0.2, 0.5]}}"
        )
    promotion = experiment.promotion.model_copy(update={"mode": "disabled"})
    models = (experiment.model(experiment.sweep.model),)
    return experiment.model_copy(update={"models": models, "promotion": promotion})


def _check_sweep(config: Experiment) -> None:
    """Every value of the space can stand in the model's section."""
    from tasks.sweep.space import models_to_check
    from tasks.train.registry import checked_params

    for values, model in models_to_check(config):
        try:
            checked_params(model)
        except ConfigurationError as error:
            told = ", ".join(f"{key}: {value}" for key, value in values.items())
            raise ConfigurationError(f"sweep.space, with {told}: {error}") from None


def _check_outside(folder: str, dataset: Dataset) -> None:
    """The folder of outside images is there, and holds classes of the data set."""
    from tasks.ingest.listing import describe_dataset
    from tasks.ingest.outside_dataset import outside_dataset

    if dataset.source == "tfds":
        load_tensorflow()  # which would otherwise be loaded by the source, with its many lines
    outside_dataset(folder, dataset, describe_dataset(dataset).class_names)


def check_answerable(promotion: Promotion, settings: Settings) -> None:
    """Whether somebody could answer, where a person is to be asked; told before anything is trained.

    Raises:
        ConfigurationError: there is no server that outlives the command.
    """
    if promotion.mode == "approval" and not settings.prefect_server:
        raise ConfigurationError(
            "promotion.mode: approval: expected a Prefect server on which a person can answer, named by "
            "PREFECT_API_URL; received none; start one with `prefect server start` and set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api, or choose --set promotion.mode=dry_run"
        )


def check_places(settings: Settings) -> None:
    """Home, tracking store and Prefect server can be used.

    Raises:
        DarkroomError: the home cannot be written or is full.
        Unreachable: a configured server does not answer.
    """
    check_home(settings)
    check_tracking_server(settings)
    check_prefect_server(settings)


def check_home(settings: Settings) -> None:
    """The home can be written, and is not full."""
    check_space(settings.home)
    settings.cache.mkdir(parents=True, exist_ok=True)
    tracking.owner()  # which tells other processes that half-written files may be this one's


def check_tracking_server(settings: Settings) -> None:
    """MLflow's server answers, where there is one."""
    if settings.tracks_on_server:
        check_answers(
            f"{settings.tracking_uri.rstrip('/')}/health",
            f"MLFLOW_TRACKING_URI={settings.tracking_uri}",
            "start it, or unset the variable",
        )


def check_prefect_server(settings: Settings) -> None:
    """Prefect's server answers, where the user named one."""
    if settings.prefect_server:
        check_answers(
            f"{settings.prefect_server.rstrip('/')}/health",
            f"PREFECT_API_URL={settings.prefect_server}",
            "start it with `prefect server start`, or unset the variable",
        )


def warm_up(
    settings: Settings,
    dataset: Dataset | None = None,
    training: bool = True,
    isolating: bool = False,
    checking: bool = True,
) -> None:
    """Load the heavy libraries while Prefect's temporary server starts: that is another process, and slow.

    All is imported in one thread; two that import at once can see each other's half-made modules. That goes for
    Prefect's own threads above all, which a flow starts: while TensorFlow Datasets is imported, it puts stand-ins in
    the place of whatever any thread imports, and a thread of Prefect's that gets one dies, for which the process then
    waits at its end for ever.

    Args:
        settings: where the servers are.
        dataset: that will be listed, if any.
        training: or another use of networks and MLflow.
        isolating: trials, or what proves a model, will be at work in processes of their own.
        checking: a data set will be validated.
    """
    told = "starting Prefect, loading TensorFlow, opening MLflow's store" if training else "starting Prefect"
    with console.status(told):
        if isolating:
            open_nursery()  # which imports beside this process
        server = None if settings.prefect_server else _start_temporary_server()
        if checking:
            importlib.import_module("great_expectations")
        if training:
            load_tensorflow()
            importlib.import_module("mlflow.keras")
            tracking.open_store()
        if dataset and dataset.source == "tfds":
            load_tensorflow()
            importlib.import_module("tensorflow_datasets")
        if server:
            server.wait()


def warm_up_for_run(settings: Settings, run_id: str) -> None:
    """All that goes before one model of an earlier run is evaluated or explained.

    Raises:
        ConfigurationError: no such run, or it is of another kind; told before the heavy libraries are loaded.
        DarkroomError: the run holds no model; the home cannot be written or is full.
        Unreachable: a configured server does not answer.
    """
    check_places(settings)
    tracking.find_trained(run_id)
    _, experiment = tracking.find_configuration(run_id)
    warm_up(settings, experiment.dataset)


def warm_up_for_model(settings: Settings) -> None:
    """All that goes before a model of MLflow is used, without a flow.

    Raises:
        DarkroomError: the home cannot be written or is full.
        Unreachable: a configured server does not answer.
    """
    check_places(settings)
    with console.status("loading TensorFlow, opening MLflow's store"):
        load_tensorflow()
        importlib.import_module("mlflow.keras")
        tracking.open_store()


def _start_temporary_server() -> "TemporaryServer":
    from flows.prefect_server import TemporaryServer

    server = TemporaryServer()
    server.start()
    return server


def load_tensorflow() -> None:
    """Import TensorFlow and find its devices, without the lines that its native code writes to stderr by then."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of every new batch shape
    with without_native_lines():
        importlib.import_module("keras")
        importlib.import_module("tensorflow").config.list_physical_devices()
