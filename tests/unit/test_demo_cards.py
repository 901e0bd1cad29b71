"""What the demo tells of images, by models of each kind."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipeline_config.experiment import Model
from tasks.serve.cards import make_cards, make_sample_card
from tasks.serve.champion import Champion
from tasks.serve.demo import MOST_FILES, Demo
from tasks.serve.ready import ReadyModel, _unfold
from tasks.serve.shown import shrink
from tasks.tracking import AboutModel, ServedModel
from tasks.train.registry import build_model

NAMES = ("<b>ant</b>", "owl", "${1+1}")
TINY = {"filters": [4], "dense_units": [8]}
FAMILIES = {
    "cnn": {"family": "cnn_plain", "params": {**TINY, "convolutions": 1}},
    "both": {"family": "class_and_box", "params": TINY},
    "box": {"family": "class_and_box", "params": {**TINY, "heads": ["box"]}},
    "svm": {"family": "linear_svm"},
}


def ready_with(kind):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), np.uint8)
    model = build_model(Model(name=kind, **FAMILIES[kind]), (16, 16, 3), len(NAMES))
    if kind == "svm":
        model.fit(pixels, np.arange(len(pixels)) % len(NAMES))
    network, why_not = _unfold(model)
    about = AboutModel(experiment="birds", version=3, name=kind, metrics={"test_accuracy": 0.9}, card="# Card")
    return ReadyModel(ServedModel("models:/birds/3", model, NAMES, (16, 16)), about, pixels[:2], network, why_not)


@pytest.fixture(scope="module", params=FAMILIES)
def ready(request):
    return ready_with(request.param)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "wide.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 40, 3), np.uint8)).save(path)
    return path


def size_of(data_uri):
    with Image.open(io.BytesIO(base64.b64decode(data_uri.partition(",")[2]))) as image:
        return image.size


def test_each_kind_of_model_has_what_its_heads_tell(ready, picture):
    (card,) = make_cards(ready, [picture])
    kind = ready.about.name
    assert (card.name, card.note, size_of(card.picture)) == ("wide.png", "", (200, 100))
    assert len(card.bars) == (0 if kind == "box" else 3)
    assert (card.box is not None) == (kind in {"both", "box"})
    assert bool(card.evidence) == (kind in {"cnn", "both"})
    assert bool(ready.why_no_evidence) == (kind in {"svm", "box"})
    assert bool(card.sha256) == (kind != "box")
    if card.evidence:
        assert size_of(card.evidence) == (200, 100)
    if card.bars:
        shares = [share for _, share in card.bars]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1, abs=1e-4)
    if card.box:
        left, top, width, height = card.box
        assert min(card.box) >= 0
        assert max(left + width, top + height) <= 100.001


def test_files_that_cannot_be_used_have_a_sentence_in_their_place(ready, picture, tmp_path):
    (tmp_path / "notes.jpg").write_text("no image")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    notes, first, dot, second = make_cards(ready, [tmp_path / "notes.jpg", picture, tmp_path / "dot.png", picture])
    assert (notes.note, notes.picture, notes.sha256) == ("cannot be opened: not an image", "", "")
    assert dot.note.startswith("1×1 pixels show nothing")
    assert first == second
    assert first.picture


def test_nobody_is_asked_for_the_class_of_a_test_image(ready):
    card = make_sample_card(ready, 1)
    assert card.picture
    assert card.sha256 == ""


def test_pictures_are_shown_at_a_size_that_a_page_has_room_for():
    assert shrink(np.zeros((3000, 1000, 3), np.uint8)).shape == (384, 128, 3)
    assert shrink(np.zeros((8, 8, 3), np.uint8)).shape == (192, 192, 3)
    assert shrink(np.zeros((1, 60_000, 3), np.uint8)).shape == (1, 384, 3)


@pytest.fixture(scope="module")
def cnn():
    return ready_with("cnn")


def demo_of(ready, folder):
    return Demo(Champion(lambda: ready.served.uri, lambda _: ready), folder)


def test_names_of_classes_and_files_are_text_on_the_page(cnn, tmp_path):
    path = tmp_path / "<img src=x onerror=alert(1)>.png"
    Image.new("RGB", (16, 16), "red").save(path)
    page = demo_of(cnn, tmp_path).answer([str(path)])
    assert "<b>ant" not in page
    assert "<img src=x" not in page
    assert "&lt;b&gt;ant&lt;/b&gt;" in page


def test_of_very_many_files_the_first_are_taken_and_that_is_said(cnn, picture, tmp_path):
    page = demo_of(cnn, tmp_path).answer([str(picture)] * (MOST_FILES + 1))
    assert page.count("<article") == MOST_FILES
    assert f"Only the first {MOST_FILES} of {MOST_FILES + 1} files were taken." in page


def test_only_an_image_that_was_answered_can_be_stored(cnn, picture, tmp_path):
    demo = demo_of(cnn, tmp_path / "feedback")
    (card,) = make_cards(cnn, [picture])
    assert demo.store(card.sha256, "owl") == "Not stored: the image is gone; drop it again"
    demo.answer([str(picture)])
    assert demo.store(card.sha256, "dog").startswith("Not stored: expected one of the model's classes: ")
    assert not (tmp_path / "feedback").exists()
    assert demo.store(card.sha256, " owl ") == "Thank you: stored as owl."
    assert (tmp_path / f"feedback/birds/owl/{card.sha256}.png").read_bytes() == picture.read_bytes()
    picture.unlink()
    assert demo.store(card.sha256, "owl") == "Not stored: cannot be opened: No such file or directory"
