"""The section `train.augmentation`: random changes of training images, by numbers or by the name of a preset."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline_config.section import Section
from pipeline_config.sentences import did_you_mean

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # The lightest, for whatever has no left and right of its own, unlike letters: no pixel is interpolated or made up.
    # Every recipe that changes its images has it (R3b, R4b, R5d).
    "flips": {"horizontal_flip": True},
    # For small images that one object fills, as CIFAR-10's (recipe R4b, with the numbers usual for it).
    "shifts_and_flips": {"rotation": 15, "width_shift": 0.1, "height_shift": 0.1, "horizontal_flip": True},
    # For photographs in which the object is anywhere and of any size (recipe R5d; R3b uses the same kinds). R5d's
    # shear of 0.2 was degrees in the code that it comes from, which moved nothing; here it is a tangent.
    "photographs": {
        "rotation": 40,
        "width_shift": 0.2,
        "height_shift": 0.2,
        "zoom": 0.2,
        "shear": 0.2,
        "horizontal_flip": True,
        "fill_mode": "nearest",
    },
}


class Augmentation(Section):
    """Random changes of training images; each batch and epoch draws anew. Zero is off.

    May be given as the name of a preset alone. What stands beside `preset` wins over it, and after validation only the
    numbers are left: they are what a run logs, and they stay when a preset is changed one day.
    """

    preset: str | None = Field(None, exclude=True, description=f"{', '.join(PRESETS)}; null once its numbers are in")
    rotation: float = Field(0.0, ge=0, le=180, description="degrees, drawn from -rotation..rotation")
    width_shift: float = Field(0.0, ge=0, lt=1, description="share of the width, to either side")
    height_shift: float = Field(0.0, ge=0, lt=1, description="share of the height, to either side")
    zoom: float = Field(0.0, ge=0, lt=1, description="0.2: scale drawn from 0.8..1.2, the same for both sides")
    shear: float = Field(
        0.0, description="tangent of the largest angle by which upright lines lean to either side; 0.2 is 11 degrees"
    )
    horizontal_flip: bool = Field(False, description="left and right change places, in every other epoch of an image")
    vertical_flip: bool = Field(False, description="top and bottom change places, likewise")
    cutout: float = Field(0.0, ge=0, le=1, description="sides of a grey patch over those of the image")
    fill_mode: Literal["nearest", "reflect", "constant", "wrap"] = Field(
        "nearest", description="what comes in from outside: the edge pixel, the mirrored image, black, the other side"
    )

    @model_validator(mode="before")
    @classmethod
    def _replace_preset_by_its_numbers(cls, data: Any) -> Any:
        """An unknown preset is left for `preset` to complain of."""
        if isinstance(data, str):
            data = {"preset": data}
        if isinstance(data, cls):
            return data
        if not isinstance(data, Mapping):
            raise ValueError(f"a preset ({', '.join(PRESETS)}), parameters such as {{rotation: 15}}, or null for none")
        name = data.get("preset")
        if not isinstance(name, str) or name not in PRESETS:
            return data
        own = {key: value for key, value in data.items() if key != "preset"}
        return {**PRESETS[name], **own}

    @field_validator("preset", mode="before")
    @classmethod
    def _is_known(cls, preset: Any) -> Any:
        if preset is None:
            return None
        raise ValueError(f"one of {', '.join(PRESETS)}{did_you_mean(str(preset), list(PRESETS))}")

    @field_validator("rotation", "width_shift", "height_shift", "zoom", "shear", "cutout", mode="before")
    @classmethod
    def _is_no_switch(cls, value: Any) -> Any:
        """True would be read as 1: one degree, or a shear of 45."""
        if isinstance(value, bool):
            raise ValueError("a number, 0 for off")
        return value

    @field_validator("shear")
    @classmethod
    def _is_a_tangent(cls, shear: float) -> float:
        """Keras's ImageDataGenerator takes degrees: whoever brings 20 from there is told."""
        if 0 <= shear <= 1:
            return shear
        raise ValueError("the tangent of an angle, from 0 to 1 and not in degrees, as 0.2 for 11 degrees")
