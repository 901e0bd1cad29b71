"""An experiment's deployment at the Prefect server: what is run, when, and that one run at a time is enough."""

from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker
from pydantic import ValidationError

from flows.scheduled import scheduled
from flows.start import check_places, load_checked
from pipeline_config.errors import ConfigurationError
from pipeline_config.loading import find_experiment_file, shipped_experiments
from pipeline_config.settings import Settings
from tasks.progress import say

POOL = "darkroom"


def schedule_experiment(experiment: str, cron: str, timezone: str, overrides: list[str]) -> dict[str, Any]:
    """Create the deployment of an experiment, or change it.

    Args:
        experiment: a shipped experiment's name, or the path of a YAML file, which must stay where it is.
        cron: five fields, as `0 2 * * *`.
        timezone: IANA name, as `Europe/Berlin`.
        overrides: `dotted.key=value`, as with `--set`.

    Raises:
        ConfigurationError: the experiment, the cron or the time zone is wrong, or no server is named.
        Unreachable: the server does not answer.
    """
    check_server("schedule")
    when = _checked(cron, timezone)
    config = load_checked(experiment, overrides)
    check_places(Settings())
    make_pool()
    deployment = RunnerDeployment.from_flow(
        cast(Any, scheduled),
        name=config.name,
        schedule=cast(Any, when),
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        parameters={"experiment": _findable(experiment), "overrides": overrides, "even_if_nothing_changed": False},
        description=f"Runs the experiment {config.name} if its data, its configuration or the code changed.",
        work_pool_name=POOL,
        job_variables={"working_dir": str(Path.cwd())},  # from which the file's relative paths count
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment_id = cast(UUID, deployment.apply())
    name = f"{scheduled.name}/{config.name}"
    say(f"{name} is scheduled: {cron} ({timezone}), by workers of the pool {POOL}; `darkroom worker` starts one")
    about = {"deployment": name, "deployment_id": str(deployment_id), "cron": cron, "timezone": timezone}
    return {"status": "done", **about}


def check_server(command: str) -> None:
    """Whether a Prefect server is named that stays.

    Raises:
        ConfigurationError: it is not.
    """
    if Settings().prefect_server is None:
        raise ConfigurationError(
            f"darkroom {command}: expected PREFECT_API_URL, the address of a Prefect server that keeps the clock; it "
            "is not set; start one with `prefect server start`, in a terminal of its own, and "
            "`export PREFECT_API_URL=http://127.0.0.1:4200/api`"
        )


def _checked(cron: str, timezone: str) -> CronSchedule:
    for given in ({"cron": cron}, {"cron": "0 2 * * *", "timezone": timezone}):
        try:
            schedule = CronSchedule(**given)
        except ValidationError as error:
            (key, value), expected = list(given.items())[-1], "IANA name, as Europe/Berlin"
            if key == "cron":
                expected = "five fields, as '0 2 * * *' for every night at two"
            problem = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise ConfigurationError(f"--{key}: expected {expected}; received '{value}': {problem}") from None
    return schedule.model_copy(update={"cron": cron})


def _findable(experiment: str) -> str:
    """A shipped experiment by its name; a file by its absolute path, since a worker may work elsewhere."""
    return experiment if experiment in shipped_experiments() else str(find_experiment_file(experiment).absolute())


def make_pool() -> None:
    """The work pool, where it is missing."""
    pool = WorkPoolCreate(
        name=POOL, type=ProcessWorker.type, base_job_template=ProcessWorker.get_default_base_job_template()
    )
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(pool)
        except ObjectAlreadyExists:
            return
