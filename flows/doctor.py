"""`darkroom doctor`: what is installed, what this machine computes with, what can be written and reached."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import psutil
from rich.table import Table

from flows.start import check_home, check_prefect_server, check_tracking_server
from pipeline_config.errors import DarkroomError, Unreachable
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.progress import console
from tasks.reasons import reason
from tasks.train.compute.processor import this_processor

_LIBRARIES = ("prefect", "mlflow", "tensorflow", "keras", "tensorflow-datasets", "scikit-learn", "pandas")
# A package that an extra brings -> the extra, and what goes without it.
_EXTRAS = {
    "gradio": ("demo", "darkroom demo"),
    "onnx": ("onnx", "darkroom export --format onnx"),
    "prefect-dask": ("dask", "execution.runner: dask"),
    "prefect-ray": ("ray", "execution.runner: ray"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: its name.
        state: ok, failed, or missing where it is not needed for most.
        told: what was found, and the mend.
    """

    what: str
    state: str
    told: str


class Unwell(DarkroomError):
    """Something that every run needs is missing; `answer` has the findings. Code 5 where it is servers alone."""

    def __init__(self, errors: list[DarkroomError], answer: dict[str, Any]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.answer = {**answer, "status": "failed"}
        only_servers = all(isinstance(error, Unreachable) for error in errors)
        self.exit_code = Unreachable.exit_code if only_servers else DarkroomError.exit_code


def examine() -> dict[str, Any]:
    """Look at everything, and tell it as a table; nothing outside is asked but the servers that are configured.

    Returns:
        The answer of the command, with every finding.

    Raises:
        Unwell: something that every run needs is missing.
    """
    settings = Settings()
    needed: dict[str, Callable[[], str]] = {
        "libraries": _libraries,
        "DARKROOM_HOME": lambda: _home(settings),
        "MLflow": lambda: _store(settings),
        "Prefect": lambda: _prefect(settings),
    }
    errors: list[DarkroomError] = []
    findings = [_look(what, find, errors) for what, find in needed.items()]
    findings += [Finding("processor", "ok", _processor()), Finding("memory", "ok", _memory()), *_extras()]
    _show(findings)
    answer = {"status": "done", "findings": [asdict(finding) for finding in findings]}
    if errors:
        raise Unwell(errors, answer)
    return answer


def _look(what: str, find: Callable[[], str], errors: list[DarkroomError]) -> Finding:
    try:
        return Finding(what, "ok", find())
    except Exception as error:  # whatever a library raises, the others are to be looked at
        errors.append(error if isinstance(error, DarkroomError) else DarkroomError(f"{what}: {reason(error)}"))
        return Finding(what, "failed", str(errors[-1]))


def _libraries() -> str:
    versions = {name: _version(name) for name in _LIBRARIES}
    if lacking := [name for name, version in versions.items() if version is None]:
        raise DarkroomError(f"expected {', '.join(_LIBRARIES)}; received no {', '.join(lacking)}; install them")
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _home(settings: Settings) -> str:
    check_home(settings)
    return f"{settings.home}, {shutil.disk_usage(settings.home).free / 2**30:.1f} GiB free"


def _store(settings: Settings) -> str:
    check_tracking_server(settings)
    tracking.open_store()
    return settings.tracking_uri


def _prefect(settings: Settings) -> str:
    check_prefect_server(settings)
    return settings.prefect_server or "a temporary server for each command, since PREFECT_API_URL names none"


def _processor() -> str:
    processor = this_processor()
    bfloat16 = f"float32 alone, since {processor.without_bfloat16}" if processor.without_bfloat16 else "bfloat16"
    return f"{processor.name}, of which this process may use {processor.threads} threads; multiplies {bfloat16}"


def _memory() -> str:
    memory = psutil.virtual_memory()
    return f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"


def _extras() -> list[Finding]:
    found = []
    for package, (extra, purpose) in _EXTRAS.items():
        version = _version(package)
        mend = f"only for {purpose}: pip install 'darkroom[{extra}]'"
        found.append(Finding(package, "ok" if version else "missing", version or mend))
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _show(findings: list[Finding]) -> None:
    table = Table("what", "state", "found")
    for finding in findings:
        table.add_row(finding.what, finding.state, finding.told)
    console.print(table)
