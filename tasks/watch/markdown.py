"""What changed, as a page in Markdown."""

from collections.abc import Sequence

import pandas as pd

from tasks.watch.drift import Drift, tell_p

METHOD = (
    "Two-sample test of Kolmogorov and Smirnov on old and new images, p-values corrected for the number of statistics "
    "after Holm (1979); D, from 0 to 1, is the largest difference of the two distribution functions. The champion's "
    "confidence in old images is that in the test images of its own run, which it was not trained on."
)


def as_markdown(title: str, sentences: Sequence[str], balance: pd.DataFrame, drifts: Sequence[Drift]) -> str:
    """The page: sentences, then a table of the classes, then one of the statistics.

    Args:
        title: names the experiment.
        sentences: what changed.
        balance: of `Differences`.
        drifts: what was tested; may be none.
    """
    lines = [f"# {_plain(title)}", "", *(f"- {_plain(sentence)}" for sentence in sentences), ""]
    lines += ["| class | images before | now |", "|---|---:|---:|"]
    lines += [f"| {_plain(str(name))} | {row['before']:,} | {row['after']:,} |" for name, row in balance.iterrows()]
    if drifts:
        lines += ["", "| statistic | old | new | median, old | new | D | p | differs |"]
        lines += ["|---|---:|---:|---:|---:|---:|---:|---|", *map(_row, drifts), "", METHOD]
    return "\n".join(lines) + "\n"


def _row(drift: Drift) -> str:
    medians = (f"{pd.Series(values).median():.3g}" for values in (drift.old, drift.new))
    counts = (f"{len(values):,}" for values in (drift.old, drift.new))
    tested = (f"{drift.distance:.2f}", tell_p(drift.p_value), "yes" if drift.differs else "no")
    return f"| {' | '.join([drift.name, *counts, *medians, *tested])} |"


def _plain(text: str) -> str:
    """Class and file names may hold what Markdown reads as a table's bar or as HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;")
