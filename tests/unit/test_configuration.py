"""Experiment file and overrides -> Experiment: what is taken, and the sentence for what is not."""

import os

import pytest
from pydantic import ValidationError

from pipeline_config.errors import ConfigurationError
from pipeline_config.loading import load_experiment, shipped_experiments
from tasks.ingest.listing import source_and_options
from tasks.train.registry import checked_params

SMALL = """
name: small
dataset: {source: digits}
models:
  - {name: cnn, family: cnn_plain, params: {filters: [4]}}
  - {name: svm, family: linear_svm}
"""


@pytest.fixture
def write_file(tmp_path):
    """`write_file(text)`: path of an experiment file with that text."""

    def write(text):
        path = tmp_path / "experiment.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def load(write_file):
    """`load("train: {epochs: 3}", "split.test=0.2")`: the small experiment with that below it and these overrides."""
    return lambda more="", *overrides: load_experiment(write_file(SMALL + more), list(overrides))


@pytest.fixture
def refusal(load):
    """`refusal(...)` as `load`, for a configuration that is refused: the sentence."""

    def refuse(more="", *overrides):
        with pytest.raises(ConfigurationError) as caught:
            load(more, *overrides)
        return str(caught.value)

    return refuse


def check_options(experiment):
    """What a run checks beyond the file itself: the source's options and the families' parameters."""
    source_and_options(experiment.dataset)
    for model in experiment.models:
        checked_params(model)


# What is taken


def test_file_becomes_an_experiment_with_documented_defaults(load):
    experiment = load()
    assert experiment.name == "small"
    assert [model.name for model in experiment.models] == ["cnn", "svm"]
    assert experiment.model("cnn").params == {"filters": [4]}
    assert (experiment.split.validation, experiment.split.test, experiment.split.train) == (0.15, 0.15, None)
    assert (experiment.train.epochs, experiment.train.batch_size, experiment.train.augmentation) == (10, 32, None)
    assert experiment.promotion.metric == "val_accuracy"


def test_source_options_are_what_stands_beside_source_and_image_size(write_file):
    text = SMALL.replace("{source: digits}", "{source: folder, image_size: 64, path: images}")
    dataset = load_experiment(write_file(text)).dataset
    assert dataset.options == {"path": "images"}
    assert dataset.image_size == (64, 64)


def test_image_size_may_be_height_and_width(load):
    assert load("", "dataset.image_size=[32, 48]").dataset.image_size == (32, 48)


@pytest.mark.parametrize("key", ["name", "train.epochs", "split.seed", "promotion.metric"])
def test_experiment_is_frozen(load, key):
    section = load()
    *parents, last = key.split(".")
    for parent in parents:
        section = getattr(section, parent)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(section, last, getattr(section, last))


def test_every_model_takes_the_common_train_and_its_own_wins(write_file):
    own = "{name: svm, family: linear_svm, train: {epochs: 7}}"
    text = SMALL.replace("{name: svm, family: linear_svm}", own) + "train: {epochs: 3, batch_size: 16}"
    experiment = load_experiment(write_file(text))
    assert [(m.train.epochs, m.train.batch_size) for m in experiment.models] == [(3, 16), (7, 16)]


def test_own_null_switches_off_what_the_common_train_sets(load):
    common = "train: {early_stopping_patience: 3, augmentation: {rotation: 5}}"
    experiment = load(common, "models.svm.train.augmentation=null")
    assert experiment.model("svm").train.augmentation is None
    assert experiment.model("svm").train.early_stopping_patience == 3
    assert experiment.model("cnn").train.augmentation.rotation == 5


def test_stages_of_a_training_are_read_with_layers_by_word_by_number_and_by_name(load):
    stages = "[{trainable: none, epochs: 3, learning_rate: 1e-3}, {trainable: 8, epochs: 2, learning_rate: 1.0e-5}]"
    train = load("", f"train.stages={stages}").model("cnn").train
    assert [(stage.trainable, stage.epochs, stage.optimizer) for stage in train.stages] == [
        ("none", 3, None),
        (8, 2, None),
    ]
    one = load("", "train.stages=[{trainable: conv5_block1, epochs: 1, learning_rate: 1, optimizer: sgd}]").train
    assert (one.stages[0].trainable, one.stages[0].optimizer) == ("conv5_block1", "sgd")
    assert load().train.stages == ()


# Overrides


@pytest.mark.parametrize(
    ("override", "read", "expected"),
    [
        ("train.epochs=3", lambda e: [model.train.epochs for model in e.models], [3, 3]),
        ("train.learning_rate=1e-4", lambda e: e.train.learning_rate, 1e-4),
        ("models.cnn.params.filters=[8, 16]", lambda e: e.model("cnn").params, {"filters": [8, 16]}),
        ("models.svm.params.c=0.1", lambda e: e.model("svm").params, {"c": 0.1}),
        ("models.svm.train.seed=5", lambda e: [model.train.seed for model in e.models], [0, 5]),
        ("split.test=given", lambda e: e.split.test, "given"),
        ("train.augmentation.horizontal_flip=true", lambda e: e.train.augmentation.horizontal_flip, True),
        ("promotion.thresholds={test_accuracy: 0.5}", lambda e: e.promotion.thresholds, {"test_accuracy": 0.5}),
        ("dataset.path=a=b", lambda e: e.dataset.options, {"path": "a=b"}),
        ("models=[{name: one, family: cnn_plain}]", lambda e: [model.name for model in e.models], ["one"]),
    ],
)
def test_override_sets_the_key(load, override, read, expected):
    assert read(load("", override)) == expected


def test_overrides_apply_in_order(load):
    assert load("train: {epochs: 1}", "train.epochs=2", "train.epochs=3").train.epochs == 3


def test_override_of_the_common_train_leaves_a_models_own(load):
    assert load("", "models.cnn.train.epochs=2", "train.epochs=9").model("cnn").train.epochs == 2


@pytest.mark.parametrize("override", ["train", "=3", "train..epochs=3", ".epochs=3", "train.=3", ""])
def test_override_without_key_and_value_is_refused(refusal, override):
    assert refusal("", override) == f"--set {override}: expected dotted.key=value, as --set train.epochs=3"


@pytest.mark.parametrize(("names", "left"), [("[svm]", ["svm"]), ("[svm, cnn]", ["svm", "cnn"])])
def test_some_of_the_models_are_chosen_by_name(load, names, left):
    whole = {model.name: model for model in load("").models}
    assert load("", f"models={names}").models == tuple(whole[name] for name in left)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("models.cn.params.filters=[4]", "no model 'cn'; there are cnn, svm"),
        ("models=[cnn, sv]", "no model 'sv'; there are cnn, svm"),
        ("models.0.params.filters=[4]", "no model '0'; there are cnn, svm"),
        ("name.first=a", "name holds no keys"),
        ("name.first.second=a", "'first' is below a plain value"),
        ("models.cnn=3", "models holds no keys"),
        ("train.epochs=[1", "the value is not YAML; quote it"),
        ("train.epochs='3", "the value is not YAML; quote it"),
        ("train={epochs: 1, epochs: 2}", "the value is not YAML; quote it"),
    ],
)
def test_override_that_fits_nowhere_is_refused(refusal, override, sentence):
    received = refusal("", override)
    assert received.startswith(f"--set {override}: ")
    assert sentence in received


def test_wrong_value_of_an_override_names_the_override(refusal):
    received = refusal("", "train.epochs=many")
    assert "--set train.epochs=many: train.epochs: expected a valid integer" in received
    assert received.endswith("received 'many'")


# Unknown keys


@pytest.mark.parametrize(
    ("override", "key", "allowed", "meant"),
    [
        (
            "trian={}",
            "trian",
            "dataset, evaluation, execution, models, name, promotion, split, sweep, train, validation",
            "train",
        ),
        (
            "train.epoch=3",
            "train.epoch",
            "augmented_copies, batch_size, bias_rate, class_weights,",
            "epochs",
        ),
        (
            "train.stages=[{trainable: all, epochs: 1, learning_rate: 1, optimiser: sgd}]",
            "train.stages.0.optimiser",
            "epochs, learning_rate, optimizer, trainable",
            "optimizer",
        ),
        ("train.augmentation.rotatoin=3", "train.augmentation.rotatoin", "height_shift, horizontal_flip,", "rotation"),
        ("split.validaton=0.1", "split.validaton", "seed, test, train, validation", "validation"),
        ("validation.min_sid=8", "validation.min_sid", "max_quarantined, max_side,", "min_side"),
        (
            "promotion.metrics=x",
            "promotion.metrics",
            "margin, metric, mode, servable,",
            "metric",
        ),
        ("models.cnn.parms={}", "models.cnn.parms", "family, name, params, train", "params"),
        ("models.svm.train.sed=1", "models.svm.train.sed", "augmentation, augmented_copies, batch_size,", "seed"),
        ("models.cnn.train.augmentation={flip: 1}", "models.cnn.train.augmentation.flip", "height_shift,", None),
    ],
)
def test_unknown_key_is_refused_with_the_allowed_ones(load, tmp_path, override, key, allowed, meant):
    with pytest.raises(ConfigurationError) as caught:
        load("", override)
    sentence = str(caught.value)
    assert sentence.startswith(f"{tmp_path / 'experiment.yaml'} --set {override}: {key}: unknown key; allowed here: ")
    assert allowed in sentence
    assert ("did you mean" in sentence) == (meant is not None)
    assert meant is None or sentence.endswith(f"did you mean '{meant}'?")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("key", ["int", "float", "a[0]"])
def test_unknown_key_is_named_whatever_it_is_called(refusal, key):
    assert f"{key}: unknown key; allowed here: dataset, evaluation," in refusal(f'"{key}": 3')


def test_unknown_key_of_the_common_train_is_told_once(refusal):
    assert refusal("train: {epoch: 3}").count("unknown key") == 1


@pytest.mark.parametrize(
    ("override", "opening", "meant"),
    [
        ("dataset.pat=x", "dataset.pat", None),
        ("models.cnn.params.filter=[4]", "models.cnn.params.filter", "filters"),
        ("models.svm.params.C=1", "models.svm.params.C", None),
    ],
)
def test_option_that_source_or_family_does_not_know_is_refused(load, override, opening, meant):
    with pytest.raises(ConfigurationError) as caught:
        check_options(load("", override))
    assert str(caught.value).startswith(f"{opening}: unknown key; allowed here: ")
    assert meant is None or str(caught.value).endswith(f"did you mean '{meant}'?")


def test_misspelt_key_of_the_dataset_section_is_set_right(load):
    with pytest.raises(ConfigurationError, match="did you mean 'image_size'"):
        check_options(load("", "dataset.image_sise=32"))


# Wrong and missing values


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.epochs=0", "train.epochs: expected greater than or equal to 1; received 0"),
        ("train.learning_rate=0", "train.learning_rate: expected greater than 0; received 0"),
        ("train.optimizer=adem", "train.optimizer: expected 'adam', 'rmsprop', 'sgd' or 'muon'; received 'adem'"),
        ("train.augmentation.width_shift=1", "train.augmentation.width_shift: expected less than 1; received 1"),
        ("train.class_weights=balance", "train.class_weights: expected 'balanced'; received 'balance'"),
        (
            "train.stages=[{trainable: 0, epochs: 1, learning_rate: 1}]",
            "train.stages.0.trainable: expected none, all, ",
        ),
        ("train.stages=[{trainable: all, epochs: 0, learning_rate: 1}]", "train.stages.0.epochs: expected greater"),
        ("train.stages=[{trainable: all, epochs: 2}]", "train.stages.0.learning_rate: missing; add it to the file"),
        ("train=3", "train: expected a valid dictionary"),
        ("models=[]", "models: expected "),
        ("dataset={}", "dataset.source: missing; add it to the file or give it with --set dataset.source=VALUE"),
        ("dataset.image_size=3", "dataset.image_size.0: expected greater than or equal to 4; received 3"),
        ("name=two words", "name: expected "),
        ("split.validation=true", "split.validation: expected a fraction above 0 and below 1, a whole number"),
        ("split.validation=1.5", "split.validation: expected a fraction above 0 and below 1, a whole number"),
        ("split.test=0", "split.test: expected a fraction above 0 and below 1, a whole number"),
        ("split={validation: 0.5, test: 0.5}", "which leaves none for training"),
    ],
)
def test_wrong_value_is_refused_with_what_would_be_right(refusal, override, sentence):
    assert sentence in refusal("", override)


@pytest.mark.parametrize("part", ['"0"', '"-3"', '"0.0"'])
def test_quoted_number_is_held_to_the_same_bounds(refusal, part):
    assert "split.validation: expected " in refusal("", f"split.validation={part}")


def test_one_wrong_value_is_one_sentence(refusal):
    assert len(refusal("", "split.validation=gvien").splitlines()) == 1


def test_every_problem_of_a_file_is_told(refusal):
    sentences = refusal("train: {epochs: 0}\nsplit: {seed: -1}").splitlines()
    assert len(sentences) == 2
    assert "train.epochs" in sentences[0] + sentences[1]
    assert "split.seed" in sentences[0] + sentences[1]


def test_two_models_of_one_name_are_refused(refusal):
    received = refusal("", "models.svm.name=cnn")
    assert "every model needs a name of its own, received cnn, cnn" in received


def test_threshold_of_an_unknown_metric_is_refused_with_the_known_ones(refusal):
    received = refusal("promotion: {thresholds: {test_acuracy: 0.9}}")
    assert "promotion.thresholds.test_acuracy: expected one of " in received
    assert "test_accuracy, " in received


@pytest.mark.parametrize("metric", ["test_accuracy", "chosen_val_accuracy"])
def test_only_a_validation_metric_may_choose(refusal, metric):
    received = refusal("", f"promotion.metric={metric}")
    assert f"promotion.metric: expected 'val_accuracy', 'val_mean_iou' or 'val_loss'; received '{metric}'" in received


def test_hint_for_a_missing_option_works():
    with pytest.raises(ConfigurationError, match="missing") as caught:
        check_options(load_experiment("pandas_bears"))
    override = str(caught.value).partition("--set ")[2].replace("=VALUE", "=images")
    check_options(load_experiment("pandas_bears", [override]))


@pytest.mark.parametrize(
    ("override", "key", "meant"),
    [
        ("dataset.source=digit", "dataset.source", "digits"),
        ("models.cnn.family=cnn_plan", "models.cnn.family", "cnn_plain"),
    ],
)
def test_unknown_source_or_family_lists_the_known_ones(load, override, key, meant):
    with pytest.raises(ConfigurationError, match=f"^{key}: expected one of .*; did you mean '{meant}'"):
        check_options(load("", override))


# Files that are no experiment


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("train: {epochs: 1, epochs: 2}", "key given twice: epochs"),
        ("name: again", "key given twice: name"),
        ("train: [", "cannot be read as YAML"),
        ("? [a, b]\n: c", "cannot be read as YAML"),
        ("train: {[]: 1, []: 2}", "cannot be read as YAML"),
    ],
)
def test_file_that_is_no_sound_yaml_is_refused(refusal, tmp_path, text, sentence):
    received = refusal(text)
    assert received.startswith(f"{tmp_path / 'experiment.yaml'}: ")
    assert sentence in received


@pytest.mark.parametrize("text", ["", "- a list", "a word", "3"])
def test_file_without_keys_is_refused(write_file, text):
    with pytest.raises(ConfigurationError, match="expected keys such as name, dataset, models"):
        load_experiment(write_file(text))


def test_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read as YAML"):
        load_experiment(str(path))


CODE = ["!!python/object/apply:os.mkdir ['{0}']", "!!python/object/new:os.mkdir ['{0}']", "!!python/name:os.mkdir"]


@pytest.mark.parametrize("code", CODE)
def test_yaml_that_is_code_is_refused_and_not_run(refusal, tmp_path, code):
    trace = tmp_path / "ran"
    assert "cannot be read as YAML" in refusal(f"train: {code.format(trace)}")
    assert "the value is not YAML" in refusal("", f"name={code.format(trace)}")
    assert not trace.exists()


@pytest.mark.parametrize("name", ["digit", "no/such/file.yaml", "."])
def test_missing_file_lists_the_shipped_experiments(name):
    with pytest.raises(ConfigurationError, match="no such experiment file") as caught:
        load_experiment(name)
    assert all(shipped in str(caught.value) for shipped in shipped_experiments())
    assert ("did you mean 'digits'?" in str(caught.value)) == (name == "digit")


# Shipped experiments


OF_FOLDERS = {"animals10", "cats_vs_dogs", "pandas_bears", "scenes15", "scenes15_dropout"}


@pytest.mark.parametrize("name", shipped_experiments())
def test_shipped_experiment_is_sound(name, tmp_path):
    overrides = [f"dataset.path={os.fspath(tmp_path)}"] if name in OF_FOLDERS else []
    experiment = load_experiment(name, overrides)
    check_options(experiment)
    assert experiment.name == name
