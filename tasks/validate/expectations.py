"""Expectations on a table, computed by Great Expectations and told in sentences.

Each expectation gives one result, which says what was expected, what was received, and what would mend it.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import pandas as pd

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.datasource.fluent.interfaces import Batch
    from great_expectations.expectations.expectation import Expectation


@dataclass(frozen=True)
class ExpectationResult:
    """One expectation and how it came out.

    Attributes:
        name: stable, for machines, as `label_in_range`.
        severity: a failed `critical` stops the run, a failed `warning` is told.
        passed: whether the data are as expected.
        sentence: for people; of a failure what was expected, what was received with examples, and the likely mend.
    """

    name: str
    severity: Literal["critical", "warning"]
    passed: bool
    sentence: str


@dataclass(frozen=True)
class Check:
    """An expectation and its words: `expected; received` when it passed, `expected; complaint` when it failed.

    Attributes:
        kind: name of the Great Expectations class, `arguments` its keyword arguments.
        complaint: from the offending rows of the checked table.
    """

    name: str
    kind: str
    arguments: dict[str, object]
    expected: str
    received: str
    complaint: Callable[[pd.DataFrame], str]
    severity: Literal["critical", "warning"] = "critical"

    def result(self, passed: bool, offending: pd.DataFrame) -> ExpectationResult:
        """The outcome, in words."""
        received = self.received if passed else self.complaint(offending)
        return ExpectationResult(self.name, self.severity, passed, f"{self.expected}; {received}.")


def validate(table: pd.DataFrame, checks: list[Check]) -> list[ExpectationResult]:
    """Run the checks as one suite over one table; results in the order of the checks.

    Raises:
        RuntimeError: Great Expectations could not compute one of them, which is a fault of the check, not of the data.
    """
    gx = _import_great_expectations()
    table = table.reset_index(drop=True)  # with a named index offending rows would come as dictionaries
    suite = gx.ExpectationSuite(name="checks", expectations=[_as_expectation(gx, check) for check in checks])
    outcomes = _batch(gx, table).validate(suite, result_format={"result_format": "COMPLETE"}).results
    by_name = {outcome.expectation_config.meta["name"]: outcome for outcome in outcomes}
    return [_as_result(check, by_name[check.name], table) for check in checks]


def _as_expectation(gx: ModuleType, check: Check) -> "Expectation":
    expectation = getattr(gx.expectations, check.kind)
    return expectation(**check.arguments, severity=check.severity, meta={"name": check.name})


def _as_result(check: Check, outcome: "ExpectationValidationResult", table: pd.DataFrame) -> ExpectationResult:
    offending = outcome.result.get("unexpected_index_list")
    if offending is None:
        raise RuntimeError(f"Great Expectations could not compute {check.name}: {outcome.exception_info}")
    return check.result(bool(outcome.success), table.loc[offending])


def _batch(gx: ModuleType, table: pd.DataFrame) -> "Batch":
    """The table in a context that lives in memory alone, sends nothing and prints nothing."""
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("table")
    return asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": table})


def _import_great_expectations() -> ModuleType:
    """The library, which takes four seconds to import and is therefore imported only where it is used."""
    with warnings.catch_warnings():
        # It imports sre_constants and sre_parse, which Python 3.11 has deprecated.
        warnings.filterwarnings("ignore", message="module 'sre_", category=DeprecationWarning)
        import great_expectations
    module: ModuleType = great_expectations
    return module
