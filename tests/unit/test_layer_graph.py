"""The drawing of a network: what is beside what, what its boxes say, and that nothing is cut off or covered."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline_config.experiment import Model
from tasks.picture_style import FIRST, text_width
from tasks.train.freezing import set_trainable
from tasks.train.layer_graph.boxes import Box, Lanes, boxes_of
from tasks.train.layer_graph.drawing import _FROZEN, draw_layers
from tasks.train.layer_graph.layout import SIZE, lay_out
from tasks.train.layer_graph.series import Branches, Tangle, series_of
from tasks.train.layer_graph.table import rows_of
from tasks.train.registry import build_model

SHAPE = (32, 32, 3)


def build(family, **params):
    return build_model(Model(name="m", family=family, params=params), SHAPE, 10)


def boxes(family, **params):
    return boxes_of(rows_of(build(family, **params)))


def first_lines(column):
    return [tuple(box.lines[0] for box in lane) for lane in column]


# What is beside what


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        pytest.param([(), (0,), (1,)], (0, 1, 2), id="chain"),
        pytest.param([(), (0,), (0,), (1, 2)], (0, Branches(((1,), (2,))), 3), id="two-paths"),
        pytest.param([(), (0,), (1, 0)], (0, Branches(((1,), ())), 2), id="skip"),
        pytest.param([(), (0,), (0,)], (0, Branches(((1,), (2,)))), id="two-outputs"),
        pytest.param([(), (), (0, 1)], (Branches(((0,), (1,))), 2), id="two-inputs"),
        pytest.param(
            [(), (0,), (1,), (2, 1), (3, 0)], (0, Branches(((1, Branches(((2,), ())), 3), ())), 4), id="skip-in-skip"
        ),
        pytest.param([(), (0,), (0,), (1,), (1, 2), (3, 4)], (0, Tangle((1, 2, 3, 4)), 5), id="crosswise"),
    ],
)
def test_graph_becomes_a_series_of_branches(sources, expected):
    assert series_of(sources) == expected


@st.composite
def graphs(draw):
    """Sources of each of some layers, all of them before it."""
    count = draw(st.integers(1, 9))
    return [draw(st.sets(st.integers(0, place - 1), max_size=3)) if place else set() for place in range(count)]


def positions_in(series):
    for item in series:
        if isinstance(item, Branches):
            yield from itertools.chain.from_iterable(positions_in(lane) for lane in item.lanes)
        else:
            yield from item.positions if isinstance(item, Tangle) else (item,)


@given(graphs())
def test_every_layer_of_any_graph_is_drawn_once(sources):
    assert sorted(positions_in(series_of([tuple(ones) for ones in sources]))) == list(range(len(sources)))


# What the boxes say


def test_layers_without_weights_share_a_box_and_others_have_their_own():
    assert boxes("cnn_plain", filters=[4], convolutions=1, dense_units=[], dropout=0.0) == (
        Box(("Input", "Resize", "Rescaling", "32×32×3"), None),
        Box(("Conv2D 3×3, 4, relu", "32×32×4 · 112"), 1.0),
        Box(("MaxPooling2D 2×2", "Flatten", "1024"), None),
        Box(("Dense 10, softmax", "10 · 10,250"), 1.0),
    )


def test_paths_of_an_inception_block_are_side_by_side():
    (block,) = [item for item in boxes("cnn_inception", filters=[4, 8]) if isinstance(item, Lanes)]
    assert sorted(first_lines(block.lanes)) == [
        ("Conv2D 1×1, 2, relu",),
        ("Conv2D 1×1, 2, relu", "Conv2D 3×3, 2, relu"),
        ("Conv2D 1×1, 2, relu", "Conv2D 5×5, 2, relu"),
        ("MaxPooling2D 2×2, stride 1", "Conv2D 1×1, 2, relu"),
    ]


def test_projection_of_a_residual_stage_is_beside_its_layers():
    blocks = [item for item in boxes("cnn_residual", filters=[4, 8, 8]) if isinstance(item, Lanes)]
    assert [first_lines(block.lanes) for block in blocks] == [
        [("Conv2D 3×3, 4, relu", "MaxPooling2D 2×2"), ("Conv2D 1×1, stride 2, 4",)],
        [("Conv2D 3×3, 8, relu", "MaxPooling2D 2×2"), ("Conv2D 1×1, stride 2, 8",)],
    ]


@pytest.fixture(scope="module")
def transfer():
    return build("transfer", backbone="VGG16", weights=None)


@pytest.mark.parametrize(
    ("trainable", "told", "share"),
    [("none", "all frozen", 0.0), ("block4_conv1", "8 of them trained", 8 / 19), ("all", "all trained", 1.0)],
)
def test_backbone_is_one_box_that_tells_how_much_of_it_is_trained(transfer, trainable, told, share):
    set_trainable(transfer, trainable)
    preprocessing, backbone = boxes_of(rows_of(transfer))[:2]
    assert preprocessing.lines == ("Input", "Resize", "GetItem ×3, Stack, Add", "32×32×3")
    assert backbone == Box(("vgg16", f"19 layers, {told}", "1×1×512 · 14,714,688"), share)


# Where they stand


def chain(length):
    return tuple(Box((f"Conv2D 3×3, {number}", "32×32×64 · 36,928"), 1.0) for number in range(length))


def overlaps(one, other):
    across = one.left < other.left + other.width and other.left < one.left + one.width
    return across and one.top < other.top + other.height and other.top < one.top + one.height


def drawings():
    return [chain(3), chain(25), boxes("cnn_inception", filters=[4, 8]), boxes("cnn_residual", filters=[4, 8])]


def test_boxes_hold_their_text_and_none_covers_another():
    for column in drawings():
        page = lay_out(column)
        for placed in page.boxes:
            assert all(text_width(line, SIZE) < placed.width for line in placed.box.lines)
            assert 0 <= placed.left <= placed.left + placed.width <= page.width + 1e-6
            assert 0 <= placed.top <= placed.top + placed.height <= page.height + 1e-6
        assert not any(overlaps(*pair) for pair in itertools.combinations(page.boxes, 2))


def test_every_box_but_the_first_has_an_arrow_that_ends_at_its_top():
    for column in drawings():
        page = lay_out(column)
        ends = {tuple(np.round(points[-1], 3)) for points, arrow in page.lines if arrow}
        tops = {tuple(np.round((placed.left + placed.width / 2, placed.top), 3)) for placed in page.boxes[1:]}
        assert ends == tops


def test_long_chain_goes_on_in_further_columns():
    columns = {length: {placed.left for placed in lay_out(chain(length)).boxes} for length in (3, 25)}
    assert len(columns[3]) == 1
    assert len(columns[25]) > 1
    page = lay_out(chain(25))
    assert 0.7 < page.width / page.height < 2.5


# The picture


def count_of(colour, path):
    """Pixels of exactly that colour."""
    red_green_blue = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    with Image.open(path) as image:
        assert image.format == "PNG"
        return int((np.asarray(image.convert("RGB")) == red_green_blue).all(axis=2).sum())


def test_frozen_backbone_is_pale_and_a_trained_one_is_not(transfer, tmp_path):
    counts = {}
    for trainable in ("none", "all"):
        set_trainable(transfer, trainable)
        draw_layers(transfer, "vgg", tmp_path / f"{trainable}.png")
        counts[trainable] = [count_of(colour, tmp_path / f"{trainable}.png") for colour in (FIRST, _FROZEN)]
    (dark, pale), (all_dark, little_pale) = counts["none"], counts["all"]
    assert pale > 10 * little_pale
    assert all_dark > 1.5 * dark


def test_recipe_of_25_layers_fits_a_screen(tmp_path):
    draw_layers(build("cnn_batchnorm", filters=[4, 8, 8]), "cnn_batchnorm", tmp_path / "layers.png")
    with Image.open(tmp_path / "layers.png") as image:
        assert image.width <= 1000
        assert image.height <= 800


def test_what_is_no_network_cannot_be_drawn(tmp_path):
    with pytest.raises(ValueError, match="expected a Keras model to draw; received"):
        draw_layers(build("linear_svm"), "svm", tmp_path / "layers.png")
    assert not list(tmp_path.glob("*.png"))
