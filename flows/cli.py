"""`darkroom`: a thin command for each flow."""

import json
import os
import shlex
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline_config.errors import ConfigurationError, DarkroomError, Unreachable
from pipeline_config.settings import Settings, configure_environment

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

ExperimentArgument = Annotated[str, typer.Argument(help="name of a shipped experiment, or path of a YAML file")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="dotted.key=value; may be given several times")]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object on stdout, nothing for people")]
DebugOption = Annotated[bool, typer.Option("--debug", help="show the traceback of an error")]
ModelOption = Annotated[
    str | None, typer.Option(help="URI of MLflow, NAME@ALIAS, an alias, or a train run's id; default: champion")
]
ChampionOption = Annotated[str | None, typer.Option(help="whose champion; default: the only one there is")]

Answer = dict[str, Any]


@app.command()
def run(
    experiment: ExperimentArgument, set_: SetOption = None, json_: JsonOption = False, debug: DebugOption = False
) -> None:
    """Run an experiment from its data to the registry's decision."""
    _answer(lambda: _run(experiment, set_ or []), json_, debug)


@app.command()
def sweep(
    experiment: ExperimentArgument, set_: SetOption = None, json_: JsonOption = False, debug: DebugOption = False
) -> None:
    """Run the sweep of an experiment, or go on with it; train and evaluate the winner, and leave the registry alone."""
    _answer(lambda: _run(experiment, set_ or [], sweep_only=True), json_, debug)


def _run(experiment: str, overrides: list[str], sweep_only: bool = False) -> Answer:
    from flows.start import check_answerable, check_places, load_checked, warm_up

    started = time.perf_counter()
    config = load_checked(experiment, overrides, sweep_only)
    check_answerable(config.promotion, Settings())
    check_places(Settings())
    warm_up(Settings(), config.dataset, isolating=config.sweep is not None or config.execution.trains_side_by_side)
    from flows.pipeline import ModelsFailed, pipeline
    from flows.reconcile import marked_flows
    from flows.summary import as_json, show_result

    try:
        with marked_flows():
            result = pipeline(experiment, overrides, sweep_only)
    except ModelsFailed as error:
        show_result(error.result)
        error.answer = as_json(error.result, time.perf_counter() - started)
        raise
    show_result(result)
    return as_json(result, time.perf_counter() - started)


@app.command()
def check(
    experiment: ExperimentArgument,
    set_: SetOption = None,
    layers: Annotated[bool, typer.Option("--layers", help="also the table of each network's layers")] = False,
    json_: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Validate an experiment file and build its models without data; nothing is downloaded or trained."""

    def answer() -> Answer:
        from flows.check import check_experiment

        return check_experiment(experiment, set_ or [], show_layers=layers)

    _answer(answer, json_, debug)


@app.command()
def backbones(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="application of Keras, or a .keras file; default: some")
    ] = None,
    image_size: Annotated[int, typer.Option(min=4, max=2048, help="pixels a side")] = 224,
    json_: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare backbones without their classifiers: size, parameters, depth, time an image on this machine.

    Size is that of the file, or 4 bytes a parameter; depth the convolutions and dense layers on the longest path.
    """

    def answer() -> Answer:
        from flows.backbones import compare_backbones

        return compare_backbones(names or [], image_size)

    _answer(answer, json_, debug)


@app.command()
def prepare(
    experiment: ExperimentArgument, set_: SetOption = None, json_: JsonOption = False, debug: DebugOption = False
) -> None:
    """Ingest, validate and split the data of an experiment; train nothing."""
    _answer(lambda: _prepare(experiment, set_ or []), json_, debug)


def _prepare(experiment: str, overrides: list[str]) -> Answer:
    from flows.start import check_places, load_checked, warm_up

    config = load_checked(experiment, overrides)
    check_places(Settings())
    warm_up(Settings(), config.dataset, training=False)
    from flows import prepare as stage
    from flows.summary import show_prepared
    from tasks.progress import say

    prepared = stage.prepare(config)
    show_prepared(prepared)
    stage.refuse_bad_data(prepared)
    words = [experiment, *(word for override in overrides for word in ("--set", override))]
    say(f"To train on it: darkroom run {shlex.join(words)}")
    return {"status": "done", "data_digest": prepared.manifest.digest, "manifest": str(prepared.manifest.path)}


@app.command()
def evaluate(
    run_id: Annotated[str, typer.Argument(help="of a train run")],
    outside: Annotated[str | None, typer.Option(help="folder of images from elsewhere, one folder a class")] = None,
    unlabelled: Annotated[str | None, typer.Option(help="folder of images without classes, to be classified")] = None,
    json_: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Evaluate one model of an earlier run again, on the test rows that it had; train nothing."""
    _answer(lambda: _evaluate(run_id, outside, unlabelled), json_, debug)


def _evaluate(run_id: str, outside: str | None, unlabelled: str | None) -> Answer:
    from flows.start import warm_up_for_run

    warm_up_for_run(Settings(), run_id)
    from flows.evaluate import evaluate_run
    from flows.summary import describe_model, show_evaluated

    evaluated = evaluate_run(run_id, outside, unlabelled)
    show_evaluated(evaluated)
    return {"status": "done", **describe_model(evaluated), "test_digest": evaluated.test_digest}


@app.command()
def explain(
    run_id: Annotated[str, typer.Argument(help="of a train run that was evaluated")],
    json_: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what one model of an earlier run looks at, as pictures in explain/ of its run; train nothing."""
    _answer(lambda: _explain(run_id), json_, debug)


def _explain(run_id: str) -> Answer:
    from flows.start import warm_up_for_run

    warm_up_for_run(Settings(), run_id)
    from flows.explain import explain_run
    from tasks.progress import say

    files = explain_run(run_id)
    say(f"Logged to run {run_id}: {', '.join(files) or 'nothing'}")
    say("Look at it: darkroom ui")
    return {"status": "done", "run_id": run_id, "files": files}


@app.command()
def compare(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="TARGET", help="experiment (its latest run), or id of a pipeline or train run"),
    ],
    output: Annotated[Path | None, typer.Option(help="folder for the files; default: one in DARKROOM_HOME")] = None,
    force: Annotated[bool, typer.Option("--force", help="unlike test rows: a table each, instead of an error")] = False,
    json_: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Put evaluated models side by side: a table on the terminal, and as Markdown, CSV and HTML."""
    _answer(lambda: _compare(targets, output, force), json_, debug)


def _compare(targets: list[str], output: Path | None, force: bool) -> Answer:
    _open_store()
    from flows.compare import compare_runs

    return compare_runs(targets, output, force)


def _open_store() -> None:
    """All that goes before a command that reads MLflow alone."""
    from flows.start import check_places
    from tasks import tracking
    from tasks.progress import console

    check_places(Settings())
    with console.status("opening MLflow's store"):
        tracking.open_store()


@app.command()
def promote(
    run_id: Annotated[str, typer.Argument(help="of a train run that was evaluated")],
    json_: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Propose one model of an earlier run to the registry; exit code 4 when a gate refuses it."""
    _answer(lambda: _promote(run_id), json_, debug)


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
    _answer(lambda: _rollback(experiment), json_, debug)


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

    def answer() -> Answer:
        _open_store()
        from flows.registry import tell_history

        return tell_history(experiment)

    _answer(answer, json_, debug)


@app.command()
def reconcile(json_: JsonOption = False, debug: DebugOption = False) -> None:
    """Bring in order what a kill left: runs, half-written files, aliases and the records of promotions."""

    def answer() -> Answer:
        _open_store()
        from flows.reconcile import reconcile_all

        return reconcile_all()

    _answer(answer, json_, debug)


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

    def answer() -> Answer:
        from flows.schedule import schedule_experiment

        return schedule_experiment(experiment, cron, timezone, set_ or [])

    _answer(answer, json_, debug)


@app.command()
def worker(debug: DebugOption = False) -> None:
    """Do what is scheduled, with this home and this MLflow store, until Ctrl-C."""

    def answer() -> Answer:
        _open_store()
        from flows.worker import start_worker

        return start_worker()

    _answer(answer, False, debug)


@app.command()
def predict(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="image, folder of images, or glob")],
    model: ModelOption = None,
    experiment: ChampionOption = None,
    csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout, in place of the table")] = False,
    json_: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Tell what images show; a file that cannot be used has a sentence in its row."""
    _answer(lambda: _predict(paths, model, experiment, csv), json_, debug)


def _predict(paths: list[str], model: str | None, experiment: str | None, as_csv: bool) -> Answer:
    from flows.start import warm_up_for_model
    from tasks.progress import console

    if as_csv and console.quiet:
        raise ConfigurationError("expected one of --csv and --json; received both; each has stdout to itself")
    warm_up_for_model(Settings())
    from flows.predict import predict_paths

    return predict_paths(paths, model, experiment, as_csv)


@app.command()
def export(
    form: Annotated[str, typer.Option("--format", help="saved_model, onnx or litert")],
    model: ModelOption = None,
    experiment: ChampionOption = None,
    output: Annotated[Path | None, typer.Option(help="new folder; default: one in DARKROOM_HOME")] = None,
    json_: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Convert a network for other programs, and write it once it answers as the Keras model does."""
    _answer(lambda: _export(form, model, experiment, output), json_, debug)


def _export(form: str, model: str | None, experiment: str | None, output: Path | None) -> Answer:
    from flows.start import warm_up_for_model

    warm_up_for_model(Settings())
    from flows.export import export

    return export(form, model, experiment, output)


@app.command()
def demo(
    experiment: ChampionOption = None,
    model: ModelOption = None,
    host: Annotated[str, typer.Option(help="address to listen at; others than 127.0.0.1 let others in")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free")] = 7860,
    debug: DebugOption = False,
) -> None:
    """Open a page on which people try the champion and say where it is wrong, until Ctrl-C."""
    _answer(lambda: _demo(experiment, model, host, port), False, debug)


def _demo(experiment: str | None, model: str | None, host: str, port: int) -> Answer:
    from flows.demo import check_installed, serve_demo
    from flows.start import warm_up_for_model
    from tasks.serve.server import open_port

    check_installed()
    with open_port(host, port) as listening:
        warm_up_for_model(Settings())
        return serve_demo(model, experiment, listening)


@app.command(name="list")
def list_(what: Annotated[str, typer.Argument(help="families, sources or experiments")]) -> None:
    """List what can be named in an experiment file."""
    from pipeline_config.loading import shipped_experiments
    from tasks.ingest.listing import source_names
    from tasks.train.registry import family_names

    known = {"families": family_names, "sources": source_names, "experiments": shipped_experiments}
    if what not in known:
        raise typer.BadParameter(f"expected one of {', '.join(known)}; received '{what}'")
    print("\n".join(known[what]()))


@app.command()
def ui(port: Annotated[int, typer.Option(help="on 127.0.0.1")] = 5000) -> None:
    """Open what was logged in the MLflow UI, until Ctrl-C."""
    settings = Settings()
    if settings.tracks_on_server:
        print(f"Runs are logged on a server with its own UI: {settings.tracking_uri}")
        return
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", settings.tracking_uri]
    command += ["--default-artifact-root", str(settings.artifact_location), "--host", "127.0.0.1", "--port", str(port)]
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # two processes instead of ten
    # Without the word the UI shows its pages for language models.
    print(f"MLflow UI: http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning", flush=True)
    os.execv(sys.executable, [*command, "--workers", "1"])


def _answer(action: Callable[[], Answer], as_json: bool, debug: bool) -> None:
    """Run a command's action; its answer, or its error as a sentence, reaches the user in the form asked for."""
    from tasks.interrupts import note_interrupts
    from tasks.progress import console, say

    console.quiet = as_json
    code = 0
    note_interrupts()
    try:
        answer = action()
    except KeyboardInterrupt:
        code, answer = 1, {"status": "interrupted", "error": "interrupted"}
    except Exception as error:
        if debug:
            traceback.print_exc()
        code, answer = _told(error)
    if as_json:
        print(json.dumps(answer, allow_nan=False, default=str), flush=True)
    elif "error" in answer:
        say(f"darkroom: {answer['error']}")
    raise typer.Exit(code)


def _told(error: Exception) -> tuple[int, Answer]:
    """Exit code and answer for an error."""
    from tasks.outage import is_away
    from tasks.reasons import reason

    code = error.exit_code if isinstance(error, DarkroomError) else DarkroomError.exit_code
    if not isinstance(error, DarkroomError) and is_away(error):
        code = Unreachable.exit_code
    return code, {**getattr(error, "answer", {"status": "failed"}), "error": reason(error), "exit_code": code}


def main() -> None:
    """The command."""
    configure_environment()
    app()


if __name__ == "__main__":
    main()
