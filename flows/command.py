"""What all commands share: their options, and how an answer or an error reaches the user."""

import json
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from pipeline_config.errors import DarkroomError, Unreachable
from pipeline_config.settings import Settings

ExperimentArgument = Annotated[str, typer.Argument(help="name of a shipped experiment, or path of a YAML file")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="dotted.key=value; may be given several times")]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object on stdout, nothing for people")]
DebugOption = Annotated[bool, typer.Option("--debug", help="show the traceback of an error")]
ModelOption = Annotated[
    str | None, typer.Option(help="URI of MLflow, NAME@ALIAS, an alias, or a train run's id; default: champion")
]
ChampionOption = Annotated[str | None, typer.Option(help="whose champion; default: the only one there is")]

Answer = dict[str, Any]


def open_store() -> None:
    """All that goes before a command that reads MLflow alone."""
    from flows.start import check_places
    from tasks import tracking
    from tasks.progress import console

    check_places(Settings())
    with console.status("opening MLflow's store"):
        tracking.open_store()


def answer(action: Callable[[], Answer], as_json: bool, debug: bool) -> None:
    """Run a command's action; its answer, or its error as a sentence, reaches the user in the form asked for."""
    from tasks.interrupts import note_interrupts
    from tasks.progress import console, say

    console.quiet = as_json
    code = 0
    note_interrupts()
    try:
        told = action()
    except KeyboardInterrupt:
        code, told = 1, {"status": "interrupted", "error": "interrupted"}
    except Exception as error:
        if debug:
            traceback.print_exc()
        code, told = _told(error)
    if as_json:
        print(json.dumps(told, allow_nan=False, default=str), flush=True)
    elif "error" in told:
        say(f"darkroom: {told['error']}")
    raise typer.Exit(code)


def _told(error: Exception) -> tuple[int, Answer]:
    """Exit code and answer for an error."""
    from tasks.outage import is_away
    from tasks.reasons import reason

    code = error.exit_code if isinstance(error, DarkroomError) else DarkroomError.exit_code
    if not isinstance(error, DarkroomError) and is_away(error):
        code = Unreachable.exit_code
    return code, {**getattr(error, "answer", {"status": "failed"}), "error": reason(error), "exit_code": code}
