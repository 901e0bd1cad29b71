"""Backbones compared: figures of a network of known size, refusals, the command."""

import json

import pytest

from pipeline_config.errors import ConfigurationError
from tasks.train import backbone_table
from tasks.train.backbone_table import COMMON, check_names, depth_of, measure_backbone
from tasks.train.backbones import open_backbone


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Path of a saved backbone for images of 16 pixels: two convolutions beside a shorter way, then a separable one."""
    import keras
    from keras import layers

    pixels = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 1)(layers.BatchNormalization()(layers.Conv2D(4, 1)(pixels)))
    x = layers.SeparableConv2D(4, 3)(layers.ReLU()(layers.Add()([x, layers.Conv2D(4, 1)(pixels)])))
    path = tmp_path_factory.mktemp("backbones") / "own.keras"
    keras.Model(pixels, x).save(path)
    return path


def test_figures_of_a_saved_backbone(own):
    figures = measure_backbone(str(own), 16)
    assert figures.name == str(own)
    assert figures.file_bytes == own.stat().st_size
    assert figures.parameters == 2 * (3 * 4 + 4) + (4 * 4 + 4) + 4 * 4 + (3 * 3 * 4 + 4 * 4 + 4)
    assert figures.depth == 3
    assert 0 < figures.batch_ms < figures.single_ms < 10_000  # a call costs the same for one image as for 32 so small


def test_depth_is_that_of_the_name_without_the_classifier():
    assert depth_of(open_backbone("ResNet50", None, (32, 32, 3))) == 50 - 1


def test_size_of_an_application_is_four_bytes_a_parameter_and_nothing_is_downloaded(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(backbone_table, "_milliseconds", lambda *_: 1.0)  # of another test
    figures = measure_backbone("VGG16", 32)
    assert figures.parameters == 14_714_688
    assert figures.file_bytes == 4 * figures.parameters
    assert figures.depth == 16 - 3
    assert not list(tmp_path.rglob("*.h5"))


def test_unknown_name_is_refused_with_the_nearest_one():
    check_names(COMMON)
    with pytest.raises(ConfigurationError, match=r"^backbone: expected one of .*did you mean 'VGG1.*'VGG17'$"):
        check_names(["VGG16", "VGG17"])


@pytest.mark.parametrize("name", ["InceptionV3", "own.keras"])
def test_images_of_the_wrong_size_are_refused(own, name):
    with pytest.raises(ConfigurationError) as caught:
        measure_backbone(str(own) if name == own.name else name, 24)
    assert f"{name}, --image-size 24: expected what can be built" in str(caught.value)
    assert "give another size or backbone" in str(caught.value)


def test_command_answers_with_a_row_for_each(own):
    from typer.testing import CliRunner

    from flows.cli import app
    from tasks.progress import console

    arguments = ["backbones", str(own), str(own), "--image-size", "16", "--json"]
    try:
        finished = CliRunner().invoke(app, arguments)
    finally:
        console.quiet = False
    assert finished.exit_code == 0, finished.output
    answer = json.loads(finished.stdout)
    assert [row["depth"] for row in answer["backbones"]] == [3]
    assert (answer["status"], answer["image_size"]) == ("done", 16)
