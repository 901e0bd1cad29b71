"""How a model was made, in words short enough for a table's cell: from the params of its train run."""

from collections.abc import Mapping

_AUGMENTATION = "train.augmentation."
_OFF = {"None", "False", "none", "off", ""}


def describe_augmentation(params: Mapping[str, str]) -> str:
    """`rotation 15, width shift 0.1, horizontal flip`; `none` where nothing is changed."""
    changes = {key.removeprefix(_AUGMENTATION): value for key, value in params.items() if key.startswith(_AUGMENTATION)}
    words = (_change(name.replace("_", " "), value) for name, value in changes.items())
    return ", ".join(filter(None, words)) or "none"


def _change(name: str, value: str) -> str:
    """Nothing for what is off, and for words such as the fill mode, which change no image by themselves."""
    if value == "True":
        return name
    number = _as_number(value)
    return f"{name} {number:g}" if number else ""


def describe_optimizer(params: Mapping[str, str]) -> str | None:
    """`adam 0.001, cosine`: name, learning rate, schedule unless constant; each stage's; None where not logged."""
    steps = []
    for prefix in ("train", *_stages(params)):
        name, rate = (params.get(f"{prefix}.{key}") for key in ("optimizer", "learning_rate"))
        if name and rate:
            steps.append(f"{name} {_as_number(rate):g}")
    schedule = params.get("train.schedule", "constant").replace("_", " ")
    told = "; ".join(steps if len(steps) < 2 else [f"{number}: {step}" for number, step in enumerate(steps, 1)])
    return ", ".join([told, *([] if schedule == "constant" else [schedule])]) if told else None


def _stages(params: Mapping[str, str]) -> list[str]:
    """`stage1`, `stage2` and so on, as many as there are."""
    names = {key.partition(".")[0] for key in params if key.startswith("stage")}
    return sorted(names, key=lambda name: (len(name), name))


def _as_number(value: str) -> float:
    """0 where it is none."""
    try:
        return float(value)
    except ValueError:
        return 0.0
