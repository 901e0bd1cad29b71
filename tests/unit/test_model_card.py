"""The model card: what it tells, what it warns of, and that whatever it is told stays text."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline_config.experiment import Experiment
from tasks import predictions
from tasks.promote.card import LONGEST_DESCRIPTION, describe, render_card, write_card
from tasks.promote.card_facts import CardFacts
from tasks.promote.card_limits import tell_limits
from tasks.records import Decision, EvaluatedModel, Gate
from tasks.tracking import RunTags

METRICS = {
    "test_accuracy": 0.8,
    "test_accuracy_low": 0.72,
    "test_accuracy_high": 0.87,
    "test_macro_f1": 0.79,
    "test_ece": 0.1,
    "parameters": 1_234_567.0,
    "fit_seconds": 3.21,
}
GATES = (Gate("threshold_test_accuracy", True, "test_accuracy is 0.8"), Gate("no_leak", False, "3 leak"))


def table(classes=("cat", "dog"), rows=20):
    """Every fifth row is called the class after its own, and all are said with 0.9."""
    labels = np.arange(rows) % len(classes)
    said = np.where(np.arange(rows) % 5 == 0, (labels + 1) % len(classes), labels)
    probabilities = np.full((rows, len(classes)), 0.1 / (len(classes) - 1))
    probabilities[np.arange(rows), said] = 0.9
    return predictions.make_table([f"{row:064}" for row in range(rows)], labels, probabilities, classes)


@pytest.fixture
def facts(make_manifest):
    manifest = make_manifest(cat=20, dog=100)
    split = (["train"] * 10 + ["validation"] * 5 + ["test"] * 5) + (["train"] * 80 + ["validation"] * 5 + ["test"] * 15)
    experiment = Experiment.model_validate(
        {"name": "pets", "dataset": {"source": "folder", "path": "pets"}, "models": [{"name": "cnn", "family": "cnn"}]}
    )
    return CardFacts(
        version=3,
        model=EvaluatedModel("cnn", "cnn_plain", "r" * 32, "m", "models:/m", Path("none"), "t" * 64, METRICS),
        decision=Decision("refused", 3, GATES, "3 leak"),
        tags=RunTags("pets", "c" * 64, None, "d" * 64, "t" * 64),
        predictions=table(),
        experiment=experiment,
        manifest=manifest.assign(split=split),
        licence="CC BY 4.0",
        outside_images=None,
        day="2026-01-31",
    )


def limits(facts):
    return "\n".join(tell_limits(facts))


def test_the_card_tells_decision_data_metrics_classes_gates_and_how_to_load(facts):
    card = render_card(facts)
    headings = [line for line in card.splitlines() if line.startswith("#")]
    assert headings == ["# pets, version 3", *(f"## {name}" for name in PARTS)]
    for told in (
        "**Decision: refused** on 2026-01-31: 3 leak.",
        f"Digest of the data `{'d' * 16}`",
        "| train | 90 |",
        "| accuracy | 0.8000 | 0.7200 to 0.8700 |",
        "| parameters | 1,234,567 |  |",
        "| cat | 10 | 5 | 10 | 0.800 | 0.800 | 0.800 |",
        r"| threshold\_test\_accuracy | passed | test\_accuracy is 0.8 |",
        r"| no\_leak | **failed** | 3 leak |",
        "models:/pets/3",
    ):
        assert told in card


PARTS = ("Data", "Metrics", "Classes", "Gates", "Limits", "How to load")


def test_the_limits_are_computed_from_what_the_model_did(facts):
    told = limits(facts)
    assert "tested on 20 images: its accuracy may be anything from 72.0% to 87.0%" in told
    assert "2 of 2 classes have fewer than 30 test images (the fewest cat, 10)" in told
    assert "most often confused: 2 of 10 dog as cat, 2 of 10 cat as dog" in told
    assert "more sure than right: mean confidence 90.0%, accuracy 80.0%" in told
    assert "knows 2 classes and nothing else" in told
    assert "100 images of the source folder alone, with a shorter side of 24 pixels (mode RGB; PNG)" in told
    assert "learned cat from 10 images and dog from 80" in told


def test_that_nobody_tried_it_elsewhere_is_said_and_so_is_how_it_did(facts):
    assert "never tried on images from elsewhere" in limits(facts)
    outside = {f"outside_accuracy{end}": value for end, value in (("", 0.5), ("_low", 0.4), ("_high", 0.6))}
    model = replace(facts.model, metrics={**METRICS, **outside, "outside_gap": 0.3})
    tried = replace(facts, model=model, outside_images=60)
    assert (
        "on 60 images from elsewhere its accuracy is 50.0% (95 % interval 40.0% to 60.0%), 30.0 points below"
        in limits(tried)
    )
    assert "never tried" not in limits(tried)


def test_of_boxes_alone_there_are_neither_classes_nor_confusions(facts):
    boxes = np.tile([0.1, 0.1, 0.5, 0.5], (4, 1))
    found = predictions.make_table([f"{row:064}" for row in range(4)], [0] * 4, None, (), (boxes, boxes))
    metrics = {"test_mean_iou": 0.9, "test_mean_iou_low": 0.8, "test_mean_iou_high": 0.95}
    card = render_card(replace(facts, predictions=found, model=replace(facts.model, metrics=metrics)))
    assert "Tells where in an image its object is" in card
    assert "## Classes" not in card
    assert "its mean IoU may be anything from 80.0% to 95.0%" in card
    assert "one box in every image" in card


def test_what_is_gone_is_said_to_be_gone(facts):
    card = render_card(replace(facts, experiment=None, manifest=None, licence=None))
    assert "The manifest, and with it the number of images of each split, is gone." in card
    assert "| cat | ? | ? | 10 |" in card


@pytest.mark.parametrize("classes", [2, 30, 400])
def test_the_description_is_as_long_as_the_registry_takes_and_says_what_it_leaves_out(facts, classes):
    names = tuple(f"class number {number}" for number in range(classes))
    long = replace(
        facts,
        predictions=table(names, rows=max(20, classes)),
        decision=replace(facts.decision, gates=GATES * 6, detail="because " * 400),
    )
    text = describe(long)
    assert 1_000 < len(text) <= LONGEST_DESCRIPTION
    assert "## Limits" in text
    assert "`model_card.html` of the train run" in text or classes == 2
    assert len(render_card(long)) > LONGEST_DESCRIPTION


HOSTILE = "<script>alert(1)</script>|`*_[x](y)&lt;\n# no"


def test_whatever_a_class_or_a_gate_is_named_stays_text(facts, tmp_path):
    from markdown_it import MarkdownIt

    hostile = replace(
        facts, predictions=table((HOSTILE, "dog")), manifest=None, decision=replace(facts.decision, detail=HOSTILE)
    )
    write_card(hostile, tmp_path)
    page = (tmp_path / "model_card.html").read_text()
    assert "<script" not in page
    assert 'href="y"' not in page
    assert page.count("<h1>") == 1
    row = next(line for line in render_card(hostile).splitlines() if line.startswith("| &lt;script"))
    cells = MarkdownIt("commonmark", {"html": False}).enable("table").render(f"| a |{' b |' * 6}\n|-|{'-|' * 6}\n{row}")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;|`*_[x](y)&amp;lt; # no</td>" in cells


def test_the_page_asks_nothing_of_the_network(facts, tmp_path):
    write_card(facts, tmp_path)
    page = (tmp_path / "model_card.html").read_text()
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    assert "default-src 'none'" in page


def test_the_card_is_one_that_hugging_face_s_tools_read(facts, tmp_path):
    from huggingface_hub import ModelCard

    write_card(facts, tmp_path)
    card = ModelCard.load(tmp_path / "model_card.md")
    assert card.data.pipeline_tag == "image-classification"
    assert {result.metric_type: result.metric_value for result in card.data.eval_results} == {
        "accuracy": 0.8,
        "f1": 0.79,
    }
    assert card.text.strip() == render_card(facts).strip()


def test_no_password_of_the_store_gets_into_the_card(facts, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@example.org/mlflow")
    card = render_card(facts)
    assert "secret" not in card
    assert 'set_tracking_uri("https://example.org/mlflow")' in card
