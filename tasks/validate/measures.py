"""Numbers about a data set, each with the bounds that it must keep."""

from dataclasses import dataclass

import pandas as pd

from pipeline_config.experiment import Severity
from tasks.validate.expectations import Check


@dataclass(frozen=True)
class Measure:
    """One number about the whole set.

    Attributes:
        name: of the check, as in the section `validation`.
        severity: `off` leaves it out.
        value: what was measured; `least` and `most` are its bounds, both allowed, None for none.
        expected: what should be, `received` what is, in words; `mend` what helps where the bounds are broken.
    """

    name: str
    severity: Severity
    value: float
    expected: str
    received: str
    mend: str
    least: float | None = None
    most: float | None = None

    def check(self) -> Check:
        """The expectation on the column of this name."""
        bounds = {"min_value": self.least, "max_value": self.most}
        arguments = {"column": self.name, **{name: bound for name, bound in bounds.items() if bound is not None}}
        complaint = f"{self.received}. {self.mend}"
        return Check(
            self.name,
            "ExpectColumnValuesToBeBetween",
            arguments,
            self.expected,
            self.received,
            lambda _: complaint,
            "critical" if self.severity == "critical" else "warning",
        )


def as_row(measures: list[Measure]) -> pd.DataFrame:
    """One row, a column for each measure."""
    return pd.DataFrame({measure.name: [measure.value] for measure in measures})
