"""The section `sweep`: which settings of one model are tried, how they are chosen, and which trial wins."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from pipeline_config.section import Section

MAXIMIZED = {"val_accuracy": True, "val_mean_iou": True, "val_loss": False}
"""Metrics that a sweep can go by, and whether more of it is better."""

_SECONDS = {"s": 1, "m": 60, "h": 3600}


def _as_seconds(duration: Any) -> Any:
    """A number is seconds; `90s`, `10m` and `2h` are durations."""
    if not isinstance(duration, str):
        return duration
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", duration.strip())
    if not found:
        raise ValueError("seconds, or a duration as 90s, 10m or 2h")
    return float(found[1]) * _SECONDS[found[2]]


Duration = Annotated[float, Field(gt=0), BeforeValidator(_as_seconds)]


class Range(Section):
    """Numbers from `low` to `high`, both included; whole ones where both are."""

    low: int | float
    high: int | float
    log: bool = Field(False, description="as many trials from 0.001 to 0.01 as from 0.01 to 0.1")
    step: int | float | None = Field(None, gt=0, description="between the numbers that can be drawn; null: any number")

    @model_validator(mode="after")
    def _is_a_range(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"a low below high; received low {self.low}, high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a low above 0 with log; received {self.low}")
        if self.log and self.step is not None:
            raise ValueError("either log or step; received both")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers alone are drawn."""
        return all(isinstance(number, int) for number in (self.low, self.high, self.step or 1))


def _without_repetition(choices: list[Any]) -> list[Any]:
    """Equal ones, as 1 and 1.0, are one to Optuna."""
    if any(choice in choices[:number] for number, choice in enumerate(choices)):
        raise ValueError("every choice once")
    return choices


Choices = Annotated[list[Any], Field(min_length=1), AfterValidator(_without_repetition)]


def _kind_of_values(values: Any) -> str | None:
    """Which of the two is meant, so that a complaint is about that one; none for a plain value."""
    return "<choices>" if isinstance(values, list | tuple) else "<range>" if isinstance(values, dict | Range) else None


Values = Annotated[
    Annotated[Choices, Tag("<choices>")] | Annotated[Range, Tag("<range>")],
    Discriminator(
        _kind_of_values,
        custom_error_type="values",
        custom_error_message="choices, as [0.2, 0.5], or a range, as {low: 0.1, high: 0.5}",
    ),
]


class Sweep(Section):
    """Trials of one model with unlike settings. Each trial sees training and validation images alone."""

    model: str = Field(description="name of the model whose settings are tried")
    space: dict[str, Values] = Field(
        min_length=1, description="dotted key below the model, as train.learning_rate -> choices, or low and high"
    )
    metric: Literal["val_accuracy", "val_mean_iou", "val_loss"] = Field(
        "val_accuracy", description="of the weights that a trial keeps"
    )
    direction: Literal["maximize", "minimize"] | None = Field(None, description="null: as the metric wants it")
    sampler: Literal["grid", "random", "tpe"] = "grid"
    trials: int | None = Field(None, ge=1, description="at most; null, for a grid: all of it")
    epochs: int | None = Field(None, ge=1, description="of a trial; null: as many as the model's own training has")
    pruner: Literal["none", "median", "halving", "hyperband"] = Field(
        "median", description="ends trials early that are worse, at the same epoch, than others were"
    )
    timeout: Duration | None = Field(None, description="after which no new trial starts: seconds, or as 90s, 10m, 2h")
    max_failed: float = Field(0.5, ge=0, le=1, description="share of the trials; when more fail the sweep ends")
    winner: Literal["retrain", "continue"] = Field(
        "retrain",
        description="the best settings are trained anew, or the best trial is trained on, to the model's epochs",
    )
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _goes_together(self) -> "Sweep":
        wanted = "maximize" if self.is_maximized else "minimize"
        if self.direction not in (None, wanted):
            raise ValueError(f"direction: {wanted} with metric: {self.metric}; received {self.direction}")
        if self.sampler != "grid" and self.trials is None:
            raise ValueError(f"a number of trials with sampler: {self.sampler}; give sweep.trials, as 20")
        endless = [key for key, values in self.space.items() if isinstance(values, Range) and not _is_finite(values)]
        if self.sampler == "grid" and endless:
            raise ValueError(
                f"choices, or a range with a step, with sampler: grid; {', '.join(endless)} has neither; "
                "or take sampler: random or tpe"
            )
        return self

    @property
    def is_maximized(self) -> bool:
        """Whether more of the metric is better."""
        return MAXIMIZED[self.metric]


def _is_finite(numbers: Range) -> bool:
    return numbers.step is not None or (numbers.is_whole and not numbers.log)
