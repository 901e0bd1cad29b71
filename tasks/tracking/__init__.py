"""The only package that writes to MLflow.

Every write names its run: MLflow's active run belongs to a thread and gets lost in task runners. Nothing is logged
automatically. The README's section "In MLflow" lays out runs, names and tags.
"""

from tasks.tracking.comparison import History, LoggedRun, find_runs, read_runs
from tasks.tracking.logs import (
    log_configuration,
    log_data,
    log_dataset_input,
    log_files,
    log_history,
    log_metrics,
    log_params,
)
from tasks.tracking.models import fetch_model, load_model, log_model
from tasks.tracking.registry import (
    Champion,
    champion,
    crown,
    download_predictions,
    find_evaluated,
    record_decision,
    register,
    set_alias,
)
from tasks.tracking.runs import RunTags, config_digest, continued, run, set_tags
from tasks.tracking.served import ServedModel, find_model, open_model
from tasks.tracking.store import open_store
from tasks.tracking.sweeps import mark_trial, sweep_run
from tasks.tracking.trained import fetch_manifest, find_configuration, find_trained, forget_failure

__all__ = [
    "Champion",
    "History",
    "LoggedRun",
    "RunTags",
    "ServedModel",
    "champion",
    "config_digest",
    "continued",
    "crown",
    "download_predictions",
    "fetch_manifest",
    "fetch_model",
    "find_configuration",
    "find_evaluated",
    "find_model",
    "find_runs",
    "find_trained",
    "forget_failure",
    "load_model",
    "log_configuration",
    "log_data",
    "log_dataset_input",
    "log_files",
    "log_history",
    "log_metrics",
    "log_model",
    "log_params",
    "mark_trial",
    "open_model",
    "open_store",
    "read_runs",
    "record_decision",
    "register",
    "run",
    "set_alias",
    "set_tags",
    "sweep_run",
]
