"""The validation report as one HTML page that needs nothing beside itself: no network, no script, no other file."""

from collections.abc import Hashable
from functools import cache
from pathlib import Path

import jinja2
import pandas as pd

from tasks import manifest, picture_style
from tasks.pages import open_templates
from tasks.validate import galleries
from tasks.validate.charts import draw_brightness, draw_sizes
from tasks.validate.checked import CheckedData
from tasks.validate.tallies import count_classes, splits_of
from tasks.validate.thumbnails import Album
from tasks.validate.wording import count_of

MAX_STRIPS = 60
_QUANTILES = {"low": 0.05, "lower": 0.25, "middle": 0.5, "upper": 0.75, "high": 0.95}
_COMMON_SIZES = 5


def render_page(data: CheckedData) -> str:
    """The page; whatever comes from the data is escaped by the template."""
    album = Album(data.table, data.reader)
    rows = manifest.usable(data.table)
    return (
        _templates()
        .get_template("report.html.jinja")
        .render(
            style=_style(),
            verdict=_verdict(data),
            facts=_facts(data),
            classes=_classes(data),
            samples=galleries.show_samples(data, album),
            sizes=_sizes(rows),
            brightness=_brightness(rows, data.class_names),
            formats=_formats(rows),
            pairs=galleries.show_pairs(data, album),
            quarantined=galleries.show_quarantined(data.table, album),
            findings=galleries.show_findings(data, album),
            results=sorted(data.results, key=lambda result: (result.passed, result.severity)),
            notes=data.notes,
        )
    )


@cache
def _templates() -> jinja2.Environment:
    templates = open_templates(Path(__file__).parent / "templates")
    templates.filters["count_of"] = count_of
    return templates


def _style() -> dict[str, str]:
    """What the style sheet takes from the project's palette."""
    palette = picture_style
    return {"ink": palette.INK, "first": palette.FIRST, "second": palette.SECOND, "wrong": palette.WRONG}


def _verdict(data: CheckedData) -> dict[str, object]:
    failed = [result for result in data.results if not result.passed]
    return {
        "failures": [result for result in failed if result.severity == "critical"],
        "warnings": [result for result in failed if result.severity == "warning"],
    }


def _facts(data: CheckedData) -> dict[str, object]:
    """The data set in one line."""
    listed, kept = len(data.table), len(manifest.usable(data.table))
    return {
        "source": ", ".join(sorted(data.table["source"].dropna().unique())) or "no source",
        "listed": listed,
        "usable": kept,
        "quarantined": listed - kept,
        "share": (listed - kept) / max(listed, 1),
        "classes": len(data.class_names),
        "megabytes": float(data.table["bytes"].sum()) / 1e6,
        "digest": manifest.digest(data.table),
        "licence": data.licence,
        "citation": data.citation,
        "boxes": bool(data.table["box_x"].notna().any()),
    }


def _classes(data: CheckedData) -> dict[str, object]:
    """Counts of each class, of all, and of images whose class is not known."""
    counts = count_classes(data.table, data.class_names)
    splits = splits_of(manifest.usable(data.table))
    return {
        "splits": splits,
        "rows": counts.to_dict("records"),
        "total": counts.drop(columns="class_name").sum().to_dict(),
        "largest": int(counts["listed"].max()) if len(counts) else 0,
        "unknown": int((~data.table["label"].isin(counts.index)).sum()),
    }


def _sizes(rows: pd.DataFrame) -> dict[str, object]:
    """Of usable images: a chart where they differ, the ranges, the sizes that are most frequent."""
    sizes = rows[["width", "height"]].dropna().astype(int)
    frequent = sizes.value_counts()
    aspect = sizes["width"] / sizes["height"]
    measures = {"Width, pixels": sizes["width"], "Height, pixels": sizes["height"], "Width ÷ height": aspect}
    return {
        "different": len(frequent),
        "chart": draw_sizes(sizes["width"], sizes["height"]) if len(frequent) > 1 else None,
        "ranges": {name: values.quantile([0, 0.05, 0.5, 0.95, 1]).tolist() for name, values in measures.items()},
        "frequent": _with_share(frequent.head(_COMMON_SIZES), len(sizes)),
    }


def _brightness(rows: pd.DataFrame, class_names: tuple[str, ...]) -> dict[str, object]:
    """Of usable images: a histogram of all, and quantiles of each class as per cents of the scale."""
    known = rows.dropna(subset="brightness")
    by_class = known.groupby("label")["brightness"]
    quantiles = pd.DataFrame({name: by_class.quantile(share) for name, share in _QUANTILES.items()})
    strips = quantiles.join(pd.Series(class_names, name="class_name"), how="inner")
    return {
        "chart": draw_brightness(known["brightness"]) if len(known) else None,
        "strips": strips.head(MAX_STRIPS).to_dict("records"),
        "left_out": max(len(strips) - MAX_STRIPS, 0),
    }


def _formats(rows: pd.DataFrame) -> list[dict[Hashable, object]]:
    """How many usable images there are of each file format and mode, most frequent first."""
    return _with_share(rows[["format", "mode"]].fillna("not known").value_counts(), len(rows))


def _with_share(counts: pd.Series, total: int) -> list[dict[Hashable, object]]:
    """Each value that was counted, with its `images` and their `share` of the total."""
    return counts.rename("images").reset_index().assign(share=counts.to_numpy() / total).to_dict("records")
