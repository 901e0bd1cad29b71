"""Gates of the comparison with the champion: on the same test rows, or none."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from pipeline_config.errors import DarkroomError
from pipeline_config.settings import Settings
from tasks import predictions, tracking
from tasks.promote.champion_again import evaluate_again, find_learned, leave_out
from tasks.promote.gates import NOT_WORSE, SAME_HEADS, SAME_TEST_ROWS, WORTH_MOVING, Side, champion_gates
from tasks.promote.proposal import Proposal
from tasks.records import Gate
from tasks.tracking import Champion

COMPARING = frozenset({SAME_TEST_ROWS, SAME_HEADS, NOT_WORSE, WORTH_MOVING})
"""Names of the gates that depend on the champion."""


def compare(proposal: Proposal, champion: Champion, run_id: str) -> list[Gate]:
    """Gates of the comparison; where there can be none, the one that says why.

    Args:
        proposal: whose challenger is compared.
        champion: with this one.
        run_id: of the promotion's record, which gets the champion's new predictions where they are needed.
    """
    challenger, margin = proposal.challenger, proposal.promotion.margin
    ours = Side(
        f"the challenger {challenger.name}",
        predictions.read(challenger.predictions),
        challenger.test_digest,
        proposal.tags.data_digest,
    )
    title = f"the champion (version {champion.version})"
    if challenger.test_digest != champion.test_digest:
        return _compare_again(ours, title, champion, proposal, run_id)
    try:
        with TemporaryDirectory(dir=Settings().cache) as folder:
            table = predictions.read(tracking.download_predictions(champion.run_id, Path(folder)))
    except DarkroomError as error:
        return [Gate(SAME_TEST_ROWS, False, f"{title} cannot be compared: {error}")]
    return champion_gates(ours, Side(title, table, champion.test_digest, champion.data_digest), margin)


def _compare_again(ours: Side, title: str, champion: Champion, proposal: Proposal, run_id: str) -> list[Gate]:
    try:
        whole = evaluate_again(champion, proposal.images)
        _log(whole, run_id)
        table, told = leave_out(whole, find_learned(champion))
    except DarkroomError as error:
        return [_refused(ours, title, champion, error)]
    kept = ours.predictions[ours.predictions["image_id"].isin(set(table["image_id"]))]
    note = f"{title} was evaluated again on the challenger's; {told}"
    theirs = Side(title, table, ours.test_digest, champion.data_digest, note)
    return champion_gates(replace(ours, predictions=kept), theirs, proposal.promotion.margin)


def _log(table: pd.DataFrame, run_id: str) -> None:
    with TemporaryDirectory(dir=Settings().cache) as folder:
        predictions.write(table, Path(folder) / "champion_predictions.parquet")
        tracking.log_files(run_id, Path(folder), "comparison")


def _refused(ours: Side, title: str, champion: Champion, error: DarkroomError) -> Gate:
    return Gate(
        SAME_TEST_ROWS,
        False,
        f"{ours.title} was evaluated on test rows {str(ours.test_digest)[:12]}, {title} on "
        f"{str(champion.test_digest)[:12]}; only models with the same test rows can be compared, and the champion "
        f"cannot be evaluated again on the challenger's: {error}; evaluate both on one data set, or start over under "
        "another experiment name",
    )
