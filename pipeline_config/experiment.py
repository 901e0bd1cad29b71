"""An experiment, as its YAML file states it: frozen, complete after validation, unknown keys refused.

The sections `dataset`, `models[].params` hold options that belong to a source or a family. They are checked
against that source's or family's own signature (see `signature.py`), since its file is its only registration.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline_config.augmentation import Augmentation
from pipeline_config.metric_names import HIGHER_IS_BETTER
from pipeline_config.section import Section
from pipeline_config.sweep import Duration, Sweep

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=60)]


def _as_height_and_width(size: Any) -> Any:
    """One number is a square."""
    return (size, size) if isinstance(size, int) else size


Side = Annotated[int, Field(ge=4, le=2048)]
ImageSize = Annotated[tuple[Side, Side], BeforeValidator(_as_height_and_width)]


def _part(part: Any) -> Any:
    """Tell a fraction from a count: 0.15 is a share of the images, 50 is a number of images of each class."""
    is_fraction = isinstance(part, float) and 0 < part < 1
    is_count = isinstance(part, int) and not isinstance(part, bool) and part >= 1
    if is_fraction or is_count or part == "given":
        return part
    raise ValueError("a fraction above 0 and below 1, a whole number of images of each class, or 'given'")


Part = Annotated[int | float | Literal["given"], BeforeValidator(_part)]


class Dataset(BaseModel):
    """Which images. The keys beside these are the source's own options."""

    model_config = ConfigDict(frozen=True, extra="allow")

    source: Name
    image_size: ImageSize | None = Field(None, description="height and width given to the models; null: as they are")
    class_names: dict[str, str] = Field(
        default_factory=dict, description="the source's name of a class -> the name to report; one name twice merges"
    )
    min_images_per_class: int | None = Field(None, ge=1, description="smaller classes are left out")
    max_classes: int | None = Field(None, ge=1, description="the first so many, by name")
    images_per_class: int | None = Field(
        None, ge=1, description="the first so many, by path or index; a given test split is kept whole"
    )

    @property
    def options(self) -> dict[str, Any]:
        """The source's own options."""
        return dict(self.model_extra or {})


def _off(severity: Any) -> Any:
    """YAML reads a bare `off` as false."""
    return "off" if severity is False else severity


Severity = Annotated[Literal["critical", "warning", "off"], BeforeValidator(_off)]
"""A failed critical check stops the run, a failed warning is reported, a check that is off is not made."""


class Validation(Section):
    """The data checks: the severity of each, and its bounds.

    Of the checks of single images, `unreadable`, `size`, `aspect`, `one_colour` and `box` quarantine what they find;
    `wrong_extension`, `mode`, `listed_size` and `low_resolution` only name it. What nobody can set is that the manifest
    is sound: its columns, labels and ids.
    """

    # Of single images.
    unreadable: Literal["critical", "warning"] = Field("warning", description="empty, truncated, no image, a bomb")
    size: Severity = "warning"
    min_side: int = Field(4, ge=1, description="pixels of the shorter side")
    max_side: int = Field(10_000, ge=1, description="pixels of the longer side")
    aspect: Severity = "warning"
    max_aspect: float = Field(10, ge=1, description="longer side over shorter side")
    one_colour: Severity = Field("warning", description="fully black, white, or of any one colour")
    box: Severity = Field("warning", description="box of no size, outside the image, or smaller than min_box_side")
    min_box_side: float = Field(0.01, ge=0, lt=1, description="share of the image's side")
    wrong_extension: Severity = Field("warning", description="the file is of another format than its name says")
    mode: Severity = Field("warning", description="neither grey nor RGB of 8 bits, and so converted")
    listed_size: Severity = Field("warning", description="the source states another size than the image has")
    low_resolution: Severity = Field("warning", description="smaller than dataset.image_size, and so enlarged")
    max_low_resolution: float = Field(0.1, ge=0, le=1, description="share of the images")
    # Over the set.
    quarantined: Severity = "critical"
    max_quarantined: float = Field(0.05, ge=0, le=1, description="share of images that may be quarantined")
    class_size: Severity = "critical"
    min_images_per_class: int = Field(10, ge=3, description="usable images that each class must have")
    number_of_classes: Severity = Field("critical", description="fewer than two classes with usable images")
    imbalance: Severity = "warning"
    max_imbalance: float = Field(10, ge=1, description="images of the largest class over those of the smallest")
    duplicates: Severity = Field("warning", description="equal pixels in one class; one copy is kept")
    conflicting_labels: Severity = Field("critical", description="equal pixels in two classes; all are quarantined")
    near_duplicates: Severity = Field("warning", description="nearly equal images; splits keep them together")
    near_conflicts: Severity = Field("warning", description="nearly equal images in two classes; they stay")
    leakage: Severity = Field("critical", description="a given test image is also, or nearly, a training image")
    max_leakage: float = Field(0.01, ge=0, le=1, description="share of the test images")
    drop_leaking: bool = Field(False, description="quarantine the leaking training images; leakage is then reported")
    test_precision: Severity = Field("warning", description="too few test images to tell models apart")
    max_interval: float = Field(0.05, gt=0, lt=1, description="to either side of an accuracy of 0.9")


class Split(Section):
    """How the images are parted; what is not validation or test is training."""

    validation: Part = 0.15
    test: Part = 0.15
    train: Annotated[int, Field(ge=1)] | None = Field(None, description="images of each class; null: all that are left")
    folds: int | None = Field(
        None, ge=2, description="cross-validation over training and validation images before the final fit"
    )
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _leaves_training_images(self) -> "Split":
        taken = sum(part for part in (self.validation, self.test) if isinstance(part, float))
        if taken >= 1:
            raise ValueError(f"validation and test take {taken:g} of the images, which leaves none for training")
        return self


def _trainable(layers: Any) -> Any:
    """Layers of a backbone: all, none, the last so many, or those from a named one on."""
    if layers is None:
        return "none"
    is_count = isinstance(layers, int) and not isinstance(layers, bool) and layers >= 1
    if is_count or (isinstance(layers, str) and layers):
        return layers
    raise ValueError("none, all, a number of last layers, or the name of the layer or block from which on")


Trainable = Annotated[int | str, BeforeValidator(_trainable)]

Optimizer = Literal["adam", "rmsprop", "sgd", "muon"]


class Stage(Section):
    """One of several stages of a training, with a fresh optimiser; what it does not name is as `train` says."""

    trainable: Trainable = Field(description="layers of the backbone; those of the head always are")
    epochs: int = Field(ge=1)
    # Without a default: what suits a new head destroys pretrained layers.
    learning_rate: float = Field(gt=0)
    optimizer: Optimizer | None = Field(None, description="null: the optimizer of train")


class Train(Section):
    """How a model is fitted. Applies to every model; a model's own `train` wins."""

    epochs: int = Field(10, ge=1, description="at most, where early stopping or a time_budget may end it sooner")
    time_budget: Duration | None = Field(
        None, description="of fitting, over which the schedule is laid: seconds, or as 90s, 10m, 2h; null: none"
    )
    batch_size: int = Field(32, ge=1)
    optimizer: Optimizer = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["constant", "linear", "cosine", "one_cycle", "triangular", "reduce_on_plateau"] = Field(
        "constant", description="of the learning rate, over each stage"
    )
    warmup_epochs: int = Field(0, ge=0, description="of a cosine: the learning rate rises to its full value first")
    plateau_patience: int = Field(
        3, ge=1, description="of reduce_on_plateau: epochs without a lower val_loss before the rate falls to a fifth"
    )
    early_stopping_patience: int | None = Field(None, ge=1, description="epochs without a lower val_loss; null: off")
    augmentation: Augmentation | None = None
    augmented_copies: int | None = Field(
        None,
        ge=1,
        description="of each image, in turn, while the backbone is frozen; null: changed anew in every epoch",
    )
    class_weights: Literal["balanced"] | None = Field(
        None, description="of a network's training loss; balanced: rare classes weigh as much as frequent ones"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of each training label that is spread alike over all classes"
    )
    weight_decay: float = Field(
        0.0, ge=0, lt=1, description="each step takes this times the learning rate of every weight away from it"
    )
    bias_rate: float = Field(
        1.0, gt=0, description="learning rate of biases and batch normalisation's offsets, in times of all others'"
    )
    kernel_rate: float = Field(
        1.0, gt=0, description="of muon: learning rate of the convolutions' kernels, in times of all others'"
    )
    lookahead: bool = Field(
        False, description="every five steps the weights return part of the way to their slow average"
    )
    stages: tuple[Stage, ...] = Field(
        (), description="one after the other, instead of epochs and learning_rate; for families with a backbone"
    )
    seed: int = Field(0, ge=0)

    @property
    def all_epochs(self) -> int:
        """Of all stages; `epochs` where there are none."""
        return sum(stage.epochs for stage in self.stages) or self.epochs

    @model_validator(mode="after")
    def _copies_are_augmented(self) -> "Train":
        if self.augmented_copies and not self.augmentation:
            raise ValueError(
                f"augmented_copies: expected none without augmentation; received {self.augmented_copies}; "
                "give augmentation, as photographs"
            )
        return self

    @model_validator(mode="after")
    def _budget_is_of_one_stage(self) -> "Train":
        if self.time_budget and self.stages:
            raise ValueError("time_budget: none with stages, which have their own epochs; take one of the two away")
        return self

    @model_validator(mode="after")
    def _kernels_have_a_rate_of_their_own(self) -> "Train":
        optimizers = {self.optimizer, *(stage.optimizer for stage in self.stages)}
        if self.kernel_rate != 1 and "muon" not in optimizers:
            raise ValueError(f"kernel_rate is for optimizer: muon; received optimizer: {self.optimizer}")
        return self

    @model_validator(mode="after")
    def _warmup_leaves_epochs(self) -> "Train":
        if not self.warmup_epochs:
            return self
        if self.schedule != "cosine":
            raise ValueError(f"warmup_epochs is for schedule: cosine; received schedule: {self.schedule}")
        shortest = min((stage.epochs for stage in self.stages), default=self.epochs)
        if self.warmup_epochs >= shortest:
            raise ValueError(f"warmup_epochs must be fewer than the {shortest} epochs; received {self.warmup_epochs}")
        return self


class Model(Section):
    """One model of the experiment, one train run in MLflow."""

    name: Name
    family: Name
    params: dict[str, Any] = Field(default_factory=dict, description="the family's own parameters")
    train: Train = Field(default_factory=Train)


def _known_metric(name: str) -> str:
    if name not in HIGHER_IS_BETTER:
        raise ValueError(f"one of {', '.join(sorted(HIGHER_IS_BETTER))}")
    return name


class Evaluation(Section):
    """What the models meet beside the test rows."""

    outside: str | None = Field(
        None, min_length=1, description="folder of images from outside the data set, one folder a class"
    )
    unlabelled: str | None = Field(
        None, min_length=1, description="folder of images without classes, to be classified and looked at"
    )


class Promotion(Section):
    """When the best model becomes champion: its gates. Never one that is worse than the champion beyond chance."""

    mode: Literal["enabled", "dry_run", "approval", "disabled"] = Field(
        "enabled",
        description="of a pipeline's last step; dry_run: all gates are judged and nothing moves; "
        "approval: where all pass, a person is asked on the Prefect server",
    )
    approval_timeout: Duration = Field(
        24 * 3_600, description="of approval: seconds, or 90s, 10m or 24h, after which the answer is no"
    )
    metric: Literal["val_accuracy", "val_mean_iou", "val_loss"] = Field(
        "val_accuracy", description="chooses the challenger"
    )
    thresholds: dict[Annotated[str, AfterValidator(_known_metric)], float] = Field(
        default_factory=dict,
        description="a lower bound, or an upper one where lower is better, of any logged metric, as "
        "test_worst_class_recall, test_ece, outside_accuracy, outside_gap, predict_ms_per_image or model_bytes",
    )
    margin: float | None = Field(
        None, gt=0, lt=1, description="share of the test rows by which it must beat the champion, on newer data too"
    )
    servable: bool = Field(
        True, description="a process of its own loads the registered model and gets the logged predictions again"
    )
    sound_data: bool = Field(
        True, description="the data passed their checks, and no test image is one that the model was trained on"
    )


class Compute(Section):
    """How networks are computed in their trainings; auto is the fastest way on this machine, with equal results."""

    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of feature maps; weights, losses, metrics and softmax always are float32"
    )
    fused_batch_normalization: bool | Literal["auto"] = "auto"
    convolved_gradients: bool | Literal["auto"] = Field(
        "auto", description="weight gradients of convolutions over maps of at most 8×8 are had from a convolution"
    )
    jit: bool | Literal["auto"] = Field("auto", description="compiled by XLA")
    threads: Annotated[int, Field(ge=1)] | Literal["auto"] = Field("auto", description="of this process, in operations")


class Execution(Section):
    """How the machine, or a cluster, is used."""

    runner: Literal["processes", "dask", "ray"] = Field(
        "processes",
        description="where the trials of a sweep run; dask and ray also train the models and open a large set's images",
    )
    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="trials side by side, the processors shared out among them; a number above 1 also of trainings, "
        "which auto with processes leaves one after the other",
    )
    address: str | None = Field(
        None, description="of a Dask or Ray cluster that is there; null: one on this machine, for as long as it works"
    )

    compute: Annotated[Compute, BeforeValidator(lambda value: {} if value == "auto" else value)] = Field(
        default_factory=Compute, description="auto, or any of its keys"
    )

    @property
    def trains_side_by_side(self) -> bool:
        """Whether models are trained in processes of their own, here or on a cluster, and not one after the other."""
        return self.runner != "processes" or (self.workers != "auto" and self.workers > 1)


class Experiment(Section):
    """A whole experiment file, resolved: every model carries its complete `train`."""

    name: Name
    dataset: Dataset
    models: tuple[Model, ...] = Field(min_length=1)
    validation: Validation = Field(default_factory=Validation)
    split: Split = Field(default_factory=Split)
    train: Train = Field(default_factory=Train)
    sweep: Sweep | None = None
    evaluation: Evaluation = Field(default_factory=Evaluation)
    promotion: Promotion = Field(default_factory=Promotion)
    execution: Execution = Field(default_factory=Execution)

    @model_validator(mode="before")
    @classmethod
    def _give_every_model_the_common_train(cls, data: Any) -> Any:
        """Lay each model's own `train` over the experiment's."""
        common = data.get("train") if isinstance(data, dict) else None
        if not isinstance(common, dict) or not isinstance(data.get("models"), list | tuple):
            return data
        return {**data, "models": [_with_common_train(model, common) for model in data["models"]]}

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Experiment":
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise ValueError(f"every model needs a name of its own, received {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _sweeps_a_model(self) -> "Experiment":
        if self.sweep is None:
            return self
        names = [model.name for model in self.models]
        if self.sweep.model not in names:
            raise ValueError(
                f"sweep.model: one of {', '.join(names)}; received {self.sweep.model}; --set sweep=null leaves it out"
            )
        _check_epochs(self.sweep, self.model(self.sweep.model).train)
        return self

    def model(self, name: str) -> Model:
        """The model of that name.

        Raises:
            KeyError: there is none.
        """
        return {model.name: model for model in self.models}[name]


def _check_epochs(sweep: Sweep, train: Train) -> None:
    """Those of a trial go with those of the training."""
    if sweep.epochs is not None and train.stages:
        raise ValueError("sweep.epochs: none where the model is trained in stages, which have their own")
    if sweep.winner == "continue" and not (sweep.epochs or train.epochs) < train.epochs:
        raise ValueError(
            f"sweep.epochs: fewer than the model's {train.epochs} epochs with sweep.winner: continue, so that some are "
            f"left to go on with; received {sweep.epochs}"
        )


def _with_common_train(model: Any, common: dict[str, Any]) -> Any:
    own = model.get("train", {}) if isinstance(model, dict) else None
    return {**model, "train": {**common, **own}} if isinstance(own, dict) else model
