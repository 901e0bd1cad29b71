"""Whether new images are like the old ones: a two-sample test of each statistic."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.statistics import correct_holm

Values = npt.NDArray[np.float64]
LEVEL = 0.05


@dataclass(frozen=True)
class Drift:
    """One statistic of the old and of the new images.

    Attributes:
        name: of the statistic, as `brightness`.
        old, new: `(n,)` a value an image, ascending.
        distance: 0..1, the largest difference of their distribution functions: the size of the effect.
        p_value: of the hypothesis that both come from one distribution, corrected for the number of statistics.
    """

    name: str
    old: Values
    new: Values
    distance: float
    p_value: float

    @property
    def differs(self) -> bool:
        """Whether chance does not explain it."""
        return self.p_value < LEVEL

    @property
    def sentence(self) -> str:
        """For people."""
        verdict = "differ from the old ones" if self.differs else "do not differ beyond chance"
        return (
            f"{self.name}: new images {verdict}, median {np.median(self.old):.3g} → {np.median(self.new):.3g}, "
            f"D {self.distance:.2f}, p {tell_p(self.p_value)}"
        )


def tell_p(p_value: float) -> str:
    """`0.03`, or `< 0.001`."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.2g}"


def find_drifts(statistics: Mapping[str, tuple[Values, Values]]) -> tuple[Drift, ...]:
    """Test each statistic with the two-sample test of Kolmogorov and Smirnov, p-values corrected after Holm (1979).

    Args:
        statistics: name -> values of the old and of the new images, each `(n,)`; what is no number is left out, and so
            is a statistic without old or without new values.
    """
    from scipy import stats

    known = {name: (_sorted(old), _sorted(new)) for name, (old, new) in statistics.items()}
    tested = {
        name: stats.ks_2samp(old, new, method="auto") for name, (old, new) in known.items() if len(old) and len(new)
    }
    corrected = correct_holm([float(result.pvalue) for result in tested.values()])
    return tuple(
        Drift(name, *known[name], float(result.statistic), p_value)
        for (name, result), p_value in zip(tested.items(), corrected, strict=True)
    )


def _sorted(values: Values) -> Values:
    return np.sort(values[np.isfinite(values)])
