"""`darkroom`: a thin command for each flow."""

import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows import cli_registry, cli_serving
from flows.command import Answer, DebugOption, ExperimentArgument, JsonOption, SetOption, answer, open_store
from pipeline_config.settings import Settings

if TYPE_CHECKING:
    from pipeline_config.experiment import Experiment

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def run(
    experiment: ExperimentArgument, set_: SetOption = None, json_: JsonOption = False, debug: DebugOption = False
) -> None:
    """Run an experiment from its data to the registry's decision."""
    answer(lambda: _run(experiment, set_ or []), json_, debug)


@app.command()
def train(
    experiment: ExperimentArgument, set_: SetOption = None, json_: JsonOption = False, debug: DebugOption = False
) -> None:
    """Prepare the data and train the models of an experiment; no test row is used, and the registry is left alone."""
    answer(lambda: _train(experiment, set_ or []), json_, debug)


@app.command()
def sweep(
    experiment: ExperimentArgument, set_: SetOption = None, json_: JsonOption = False, debug: DebugOption = False
) -> None:
    """Run the sweep of an experiment, or go on with it; train and evaluate the winner, and leave the registry alone."""
    answer(lambda: _run(experiment, set_ or [], sweep_only=True), json_, debug)


def _run(experiment: str, overrides: list[str], sweep_only: bool = False) -> Answer:
    from flows.start import check_answerable, load_checked

    started = time.perf_counter()
    config = load_checked(experiment, overrides, sweep_only)
    check_answerable(config.promotion, Settings())
    _warm_up_to_train(config)
    from flows.pipeline import pipeline
    from flows.summary import as_json, show_result

    return _carried_out(lambda: pipeline(experiment, overrides, sweep_only), show_result, as_json, started)


def _train(experiment: str, overrides: list[str]) -> Answer:
    from flows.start import load_checked

    started = time.perf_counter()
    _warm_up_to_train(load_checked(experiment, overrides))
    from flows.summary import show_training, training_as_json
    from flows.training import training

    return _carried_out(lambda: training(experiment, overrides), show_training, training_as_json, started)


def _warm_up_to_train(config: "Experiment") -> None:
    from flows.start import check_places, warm_up

    check_places(Settings())
    warm_up(Settings(), config.dataset, isolating=config.sweep is not None or config.execution.trains_side_by_side)


def _carried_out(
    call: Callable[[], Any], show: Callable[[Any], None], as_json: Callable[[Any, float], Answer], started: float
) -> Answer:
    """The answer of a flow, which is shown; where some models failed, what the others came to.

    Flows that begin within it carry the mark of this process; at a temporary server they send no heartbeats.
    """
    from flows.outcomes import ModelsFailed
    from flows.prefect_server import without_heartbeats
    from flows.reconcile import marked_flows

    try:
        with marked_flows(), nullcontext() if Settings().prefect_server else without_heartbeats():
            result = call()
    except ModelsFailed as error:
        show(error.result)
        error.answer = as_json(error.result, time.perf_counter() - started)
        raise
    show(result)
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

    def tell() -> Answer:
        from flows.check import check_experiment

        return check_experiment(experiment, set_ or [], show_layers=layers)

    answer(tell, json_, debug)


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

    def tell() -> Answer:
        from flows.backbones import compare_backbones

        return compare_backbones(names or [], image_size)

    answer(tell, json_, debug)


@app.command()
def prepare(
    experiment: ExperimentArgument, set_: SetOption = None, json_: JsonOption = False, debug: DebugOption = False
) -> None:
    """Ingest, validate and split the data of an experiment; train nothing."""
    answer(lambda: _prepare(experiment, set_ or []), json_, debug)


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
    answer(lambda: _evaluate(run_id, outside, unlabelled), json_, debug)


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
    answer(lambda: _explain(run_id), json_, debug)


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
    answer(lambda: _compare(targets, output, force), json_, debug)


def _compare(targets: list[str], output: Path | None, force: bool) -> Answer:
    open_store()
    from flows.compare import compare_runs

    return compare_runs(targets, output, force)


app.add_typer(cli_registry.app)
app.add_typer(cli_serving.app)


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
def doctor(json_: JsonOption = False, debug: DebugOption = False) -> None:
    """Tell what is installed, what this machine computes with, what can be written and reached."""

    def tell() -> Answer:
        from flows.doctor import examine

        return examine()

    answer(tell, json_, debug)


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


if __name__ == "__main__":
    app()
