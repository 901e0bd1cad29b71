"""Which of the models is proposed: the best by validation, or the cheapest of those that are tied with it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_config.metric_names import HIGHER_IS_BETTER
from tasks.records import EvaluatedModel
from tasks.statistics import interval_of_share
from tasks.ties import AS_MANY, is_faster, is_tied

_TIME, _SIZES = "predict_ms_per_image", ("parameters", "model_bytes")


@dataclass(frozen=True)
class Challenger:
    """The model that is proposed; `why` tells of the ties, and is empty where the best has none."""

    model: EvaluatedModel
    why: str = ""


def choose_challenger(
    models: Sequence[EvaluatedModel], metric: str, validation_images: int | None = None
) -> Challenger:
    """The best model by a validation metric, or of those that are tied with it the cheapest.

    Tied is what lies within the best's 95 % interval; of other metrics than the accuracy none is known, and what is
    equal is tied. The cheapest has the fewest parameters, then bytes, and of as large ones is the fastest to predict: a
    clock tells something else every time, and the same data must propose the same model. Test rows choose nothing.

    Args:
        models: at least one.
        metric: val_accuracy, val_mean_iou or val_loss.
        validation_images: on which the metric was measured, or None where that is not known.
    """
    ranked = sorted(models, key=lambda model: _rank(model, metric))
    best = ranked[0]
    interval = _interval(best, metric, validation_images)
    tied = [model for model in ranked if is_tied(_value(model, metric), _value(best, metric), interval)] or [best]
    if len(tied) == 1:
        return Challenger(best)
    chosen = _find_cheapest(tied)
    return Challenger(chosen, f"{_tell_ties(tied, metric, interval)}; {_tell_choice(chosen, best)}")


def _rank(model: EvaluatedModel, metric: str) -> list[float]:
    """Best first: by the metric, then the lower validation loss, then the shorter fit; what is not known ranks last."""
    sign = -1 if HIGHER_IS_BETTER[f"chosen_{metric}"] else 1
    key = (sign * _value(model, metric), model.metrics["chosen_val_loss"], model.metrics["fit_seconds"])
    return [math.inf if math.isnan(value) else value for value in key]


def _value(model: EvaluatedModel, metric: str) -> float:
    return model.metrics.get(f"chosen_{metric}", math.nan)


def _interval(best: EvaluatedModel, metric: str, images: int | None) -> tuple[float, float] | None:
    value = _value(best, metric)
    if metric != "val_accuracy" or not images or math.isnan(value):
        return None
    interval = interval_of_share(value, images)
    return interval.low, interval.high


def _find_cheapest(tied: Sequence[EvaluatedModel]) -> EvaluatedModel:
    """That with the fewest parameters, then bytes; of as large ones the fastest; of as cheap ones the best."""
    kept = tied
    for name in _SIZES:
        fewest = min(_cost(model, name) for model in kept)
        kept = [model for model in kept if _cost(model, name) <= fewest * AS_MANY]
    least = min(_cost(model, _TIME) for model in kept)
    return next(model for model in kept if not is_faster(least, _cost(model, _TIME)))


def _cost(model: EvaluatedModel, name: str) -> float:
    """Infinite where it is not known."""
    value = model.metrics.get(name, math.inf)
    return value if math.isfinite(value) else math.inf


def _tell_ties(tied: Sequence[EvaluatedModel], metric: str, interval: tuple[float, float] | None) -> str:
    names = ", ".join(f"{model.name} ({_value(model, metric):.4g})" for model in tied)
    noise = f", within {interval[0]:.4g} to {interval[1]:.4g}, the best's 95 % interval" if interval else ""
    return f"tied by {metric}: {names}{noise}"


def _tell_choice(chosen: EvaluatedModel, best: EvaluatedModel) -> str:
    if chosen is best:
        return f"{best.name} is proposed, as it is the best, and none of the others is cheaper"
    told = [
        f"{_in_digits(_cost(chosen, name))} {words} instead of {_in_digits(_cost(best, name))}"
        for name, words in (("parameters", "parameters"), ("model_bytes", "bytes"), (_TIME, "ms an image"))
        if _cost(chosen, name) < _cost(best, name) < math.inf
    ]
    return f"{chosen.name} is proposed, as it is the cheaper: {', '.join(told[:2])}"


def _in_digits(value: float) -> str:
    """Large numbers whole, small ones in three digits."""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"
