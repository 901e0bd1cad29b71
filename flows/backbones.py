"""Compare backbones before one is chosen: nothing is downloaded, each is timed on this machine."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from flows.start import load_tensorflow
from pipeline_config.errors import ConfigurationError
from tasks.progress import bar, console, say
from tasks.train.backbone_table import COMMON, BackboneFigures, check_names, measure_backbone


def compare_backbones(names: Sequence[str], image_size: int) -> dict[str, Any]:
    """Measure each backbone, one at a time, and show a table.

    Args:
        names: applications of Keras or .keras files; empty takes a few common ones.
        image_size: pixels a side.

    Raises:
        ConfigurationError: an unknown name. A backbone that does not take images of that size is told and left out.
    """
    chosen = list(dict.fromkeys(names or COMMON))
    check_names(chosen)
    load_tensorflow()
    figures, left_out = [], {}
    with bar("timing backbones", len(chosen)) as shown:
        for name in chosen:
            shown.note(Path(name).name)
            try:
                figures.append(measure_backbone(name, image_size))
            except ConfigurationError as error:
                left_out[name] = str(error)
                say(f"left out: {error}")
            shown.advance()
    _show(figures, image_size)
    measured = [asdict(backbone) for backbone in figures]
    return {"status": "done", "image_size": image_size, "backbones": measured, "left_out": left_out}


def _show(figures: Sequence[BackboneFigures], image_size: int) -> None:
    title = f"backbones without classifier, images of {image_size}×{image_size} pixels"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("backbone", overflow="fold")
    for column in ("MB", "parameters", "depth", "ms, alone", "ms, of 32"):
        table.add_column(column, justify="right", no_wrap=True)
    for backbone in figures:
        table.add_row(Path(backbone.name).name, *_cells(backbone))
    console.print(table)
    say("MB: of the file, or 4 bytes a parameter; depth: convolutions and dense layers on the longest path")
    say("ms: median for an image, given alone or in a batch of 32, on this machine as busy as it is now")


def _cells(backbone: BackboneFigures) -> tuple[str, ...]:
    return (
        f"{backbone.file_bytes / 1e6:.1f}",
        f"{backbone.parameters:,}",
        str(backbone.depth),
        f"{backbone.single_ms:.1f}",
        f"{backbone.batch_ms:.1f}",
    )
