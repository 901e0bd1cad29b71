"""The commands of the registry, and of what the clock starts."""

from dataclasses import asdict
from typing import Annotated

import typer

from flows.command import Answer, DebugOption, ExperimentArgument, JsonOption, SetOption, answer, open_store
from pipeline_config.settings import Settings

app = typer.Typer()


@app.command()
def promote(
    run_id: Annotated[str, typer.Argument(help="of a train run that was evaluated")],
    json_: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Propose one model of an earlier run to the registry; exit code 4 when a gate refuses it."""
    answer(lambda: _promote(run_id), json_, debug)


def _promote(run_id: str) -> Answer:
    from flows.start import check_places, warm_up
    from tasks import tracking

    check_places(Settings())
    _, config = tracking.find_configuration(run_id)
    warm_up(Settings(), config.dataset, isolating=True, checking=False)
    from flows.promote import promote_run
    from flows.summary import show_decision

    decision = promote_run(run_id)
    show_decision(decision)
    return {"status": "done", **asdict(decision)}


@app.command()
def rollback(
    experiment: Annotated[str, typer.Argument(help="name of an experiment that has a champion")],
    json_: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Put the version before the champion back, once it is proved that it still answers as logged; else exit code 4."""
    answer(lambda: _rollback(experiment), json_, debug)


def _rollback(experiment: str) -> Answer:
    from flows.start import check_places, warm_up
    from tasks import tracking

    check_places(Settings())
    tracking.check_registered(experiment)
    warm_up(Settings(), training=False, isolating=True, checking=False)
    from flows.registry import roll_back
    from flows.summary import show_decision

    decision = roll_back(experiment)
    show_decision(decision)
    return {"status": "done", **asdict(decision)}


@app.command()
def history(
    experiment: Annotated[str, typer.Argument(help="name of an experiment that has a registered model")],
    json_: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Tell who promoted what, when and why: every promotion and rollback of an experiment, the latest first."""

    def tell() -> Answer:
        open_store()
        from flows.registry import tell_history

        return tell_history(experiment)

    answer(tell, json_, debug)


@app.command()
def reconcile(json_: JsonOption = False, debug: DebugOption = False) -> None:
    """Bring in order what a kill left: runs, half-written files, aliases and the records of promotions."""

    def tell() -> Answer:
        open_store()
        from flows.reconcile import reconcile_all

        return reconcile_all()

    answer(tell, json_, debug)


@app.command()
def schedule(
    experiment: ExperimentArgument,
    cron: Annotated[str, typer.Option(help="when, as '0 2 * * *' for every night at two")],
    timezone: Annotated[str, typer.Option(help="of the clock that is meant, as Europe/Berlin")] = "UTC",
    set_: SetOption = None,
    json_: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Have an experiment run by the clock, if anything changed by then: creates its Prefect deployment, or changes it.

    The server that PREFECT_API_URL names keeps the clock; `darkroom worker` does the work.
    """

    def tell() -> Answer:
        from flows.schedule import schedule_experiment

        return schedule_experiment(experiment, cron, timezone, set_ or [])

    answer(tell, json_, debug)


@app.command()
def worker(debug: DebugOption = False) -> None:
    """Do what is scheduled, with this home and this MLflow store, until Ctrl-C."""

    def tell() -> Answer:
        open_store()
        from flows.worker import start_worker

        return start_worker()

    answer(tell, False, debug)
