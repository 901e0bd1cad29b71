"""A Prefect worker that runs what is scheduled: after order is made, and with what this process has."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import certifi

from flows.reconcile import reconcile_all
from flows.schedule import POOL, check_server, make_pool
from flows.start import check_places
from pipeline_config.settings import Settings
from tasks.files import write_whole
from tasks.progress import say

_CODE = Path(__file__).resolve().parents[1]


def start_worker() -> NoReturn:
    """Become a worker of the pool, until Ctrl-C.

    What a killed worker left is reconciled first: else its runs would hold the deployments' only places.

    Raises:
        ConfigurationError: no server is named.
        Unreachable: the server does not answer.
    """
    check_server("worker")
    settings = Settings()
    check_places(settings)
    reconcile_all()
    make_pool()
    say(f"worker of the pool {POOL}: home {settings.home}, MLflow {settings.tracking_uri}")
    os.environ.update(_environment(settings))
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
    os.execv(sys.executable, command)


def _small_bundle(settings: Settings) -> dict[str, str]:
    """For a server without TLS, one certificate authority in place of all.

    Prefect reads the bundle anew for each of its clients, with or without TLS: the worker grew by 0.6 MB a run.
    """
    if "PREFECT_API_SSL_CERT_FILE" in os.environ or not str(settings.prefect_api_url).startswith("http://"):
        return {}
    end = "-----END CERTIFICATE-----\n"
    bundle = settings.cache / "one_authority.pem"
    with write_whole(bundle) as temporary:
        temporary.write_text(certifi.contents().partition(end)[0] + end)
    return {"PREFECT_API_SSL_CERT_FILE": str(bundle)}


def _environment(settings: Settings) -> dict[str, str]:
    """What flow runs get from the worker: this home, this store, this interpreter, this code."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    code = os.pathsep.join(filter(None, [str(_CODE), os.environ.get("PYTHONPATH", "")]))
    places = {"DARKROOM_HOME": str(settings.home), "PATH": path, "PYTHONPATH": code, **_small_bundle(settings)}
    if settings.mlflow_tracking_uri:
        places["MLFLOW_TRACKING_URI"] = settings.mlflow_tracking_uri
    return places
