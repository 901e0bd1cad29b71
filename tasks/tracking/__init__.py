"""The only package that writes to MLflow.

Every write names its run: MLflow's active run belongs to a thread and gets lost in task runners. Nothing is logged
automatically. The README's section "In MLflow" lays out runs, names and tags.
"""

from tasks.tracking.about import AboutModel, find_about
from tasks.tracking.cards import DESCRIPTION_FILE
from tasks.tracking.comparison import History, LoggedRun, find_runs, read_runs
from tasks.tracking.finished import (
    FinishedPipeline,
    find_last_finished,
    find_pipeline_run,
    log_changes,
    page_of,
    record_check,
    record_failure,
    tell_code,
    tell_configuration,
)
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
from tasks.tracking.owners import has_ended, is_alone, owner
from tasks.tracking.promotions import (
    Changes,
    Promoted,
    carry_out,
    decided,
    history,
    promotion_run,
    reconcile,
    registry_held,
    settle,
)
from tasks.tracking.registry import (
    Champion,
    aliases,
    champion,
    check_registered,
    download_predictions,
    find_evaluated,
    register,
    registered_names,
)
from tasks.tracking.runs import RunTags, config_digest, continued, reopened, run, set_tags
from tasks.tracking.served import ServedModel, find_alias, find_model, open_model
from tasks.tracking.store import open_store
from tasks.tracking.sweeps import mark_trial, sweep_run
from tasks.tracking.trained import fetch_file, fetch_manifest, find_configuration, find_trained, forget_failure
from tasks.tracking.unfinished import (
    LeftOpen,
    close_all_left_open,
    close_left_open,
    find_evaluation,
    find_finished_model,
    find_interrupted,
    find_left_open,
    mark_evaluated,
    model_digest,
    pipeline_held,
    train_run,
)

__all__ = [
    "DESCRIPTION_FILE",
    "AboutModel",
    "Champion",
    "Changes",
    "FinishedPipeline",
    "History",
    "LeftOpen",
    "LoggedRun",
    "Promoted",
    "RunTags",
    "ServedModel",
    "aliases",
    "carry_out",
    "champion",
    "check_registered",
    "close_all_left_open",
    "close_left_open",
    "config_digest",
    "continued",
    "decided",
    "download_predictions",
    "fetch_file",
    "fetch_manifest",
    "fetch_model",
    "find_about",
    "find_alias",
    "find_configuration",
    "find_evaluated",
    "find_evaluation",
    "find_finished_model",
    "find_interrupted",
    "find_last_finished",
    "find_left_open",
    "find_model",
    "find_pipeline_run",
    "find_runs",
    "find_trained",
    "forget_failure",
    "has_ended",
    "history",
    "is_alone",
    "load_model",
    "log_changes",
    "log_configuration",
    "log_data",
    "log_dataset_input",
    "log_files",
    "log_history",
    "log_metrics",
    "log_model",
    "log_params",
    "mark_evaluated",
    "mark_trial",
    "model_digest",
    "open_model",
    "open_store",
    "owner",
    "page_of",
    "pipeline_held",
    "promotion_run",
    "read_runs",
    "reconcile",
    "record_check",
    "record_failure",
    "register",
    "registered_names",
    "registry_held",
    "reopened",
    "run",
    "set_tags",
    "settle",
    "sweep_run",
    "tell_code",
    "tell_configuration",
    "train_run",
]
