"""The commands that put a model to use."""

from pathlib import Path
from typing import Annotated

import typer

from flows.command import Answer, ChampionOption, DebugOption, JsonOption, ModelOption, answer
from pipeline_config.errors import ConfigurationError
from pipeline_config.settings import Settings

app = typer.Typer()


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
    answer(lambda: _predict(paths, model, experiment, csv), json_, debug)


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
    answer(lambda: _export(form, model, experiment, output), json_, debug)


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
    answer(lambda: _demo(experiment, model, host, port), False, debug)


def _demo(experiment: str | None, model: str | None, host: str, port: int) -> Answer:
    from flows.demo import check_installed, serve_demo
    from flows.start import warm_up_for_model
    from tasks.serve.server import open_port

    check_installed()
    with open_port(host, port) as listening:
        warm_up_for_model(Settings())
        return serve_demo(model, experiment, listening)
