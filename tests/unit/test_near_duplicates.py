import io

import imagehash
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from tasks.manifest import conform
from tasks.validate import similar_hashes
from tasks.validate.groups import assign_groups
from tasks.validate.near_duplicates import find_near_duplicates
from tasks.validate.similar_hashes import MAX_BITS, candidate_pairs

SIDE = 96


def scene(seed: int) -> Image.Image:
    """A picture whose amplitudes fall with frequency as those of photographs do, unlike that of any other seed."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE)))
    frequency[0, 0] = 1
    layers = [np.fft.ifft2(np.fft.fft2(random.normal(size=(SIDE, SIDE))) / frequency**1.5).real for _ in range(4)]
    colours = np.stack([layers[0] + 0.5 * layer for layer in layers[1:]], axis=-1)
    scaled = 255 * (colours - colours.min()) / np.ptp(colours)
    return Image.fromarray(scaled.astype(np.uint8))


def recompressed(image: Image.Image) -> Image.Image:
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=30)
    return Image.open(encoded).convert("RGB")


def stamped(image: Image.Image) -> Image.Image:
    copy = image.copy()
    copy.paste((200, 200, 200), (SIDE - 16, SIDE - 6, SIDE - 2, SIDE - 2))
    return copy


COPIES = {
    "recompressed": recompressed,
    "smaller": lambda image: image.resize((SIDE // 2, SIDE // 2)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "in grey": lambda image: image.convert("L").convert("RGB"),
    "cropped by a hair": lambda image: image.crop((1, 1, SIDE - 1, SIDE - 1)),
    "cropped at one corner": lambda image: image.crop((4, 4, SIDE, SIDE)),
    "stamped": stamped,
}


def find(images: list[Image.Image], **columns: object) -> list[tuple[int, int]]:
    pixels = [np.asarray(image) for image in images]
    table = pd.DataFrame(
        {
            "image_id": [f"{number:064x}" for number in range(len(images))],
            "path": [f"{number}.png" for number in range(len(images))],
            "label": 0,
            "width": [image.width for image in images],
            "height": [image.height for image in images],
            "phash": [str(imagehash.phash(image)) for image in images],
            "bytes": 1,
            "status": "ok",
        }
    ).assign(**columns)
    pairs = find_near_duplicates(conform(table), lambda position: pixels[position])
    assert set(pairs["kind"]) <= {"near"}
    return list(zip(pairs["first"], pairs["second"], strict=True))


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_that_was_changed_a_little_is_found_among_others(copy):
    images = [scene(seed) for seed in range(20)]
    assert find([*images, copy(images[7])]) == [(7, 20)]


def test_different_pictures_are_no_near_duplicates():
    assert find([scene(seed) for seed in range(300)]) == []


def test_pictures_whose_hashes_agree_by_chance_are_told_apart_by_their_pixels():
    images = [scene(0), scene(1)]
    assert find(images, phash="0123456789abcdef") == []


def test_one_light_sky_does_not_make_two_pictures_alike():
    sky = np.linspace(255, 0, SIDE)[:, None, None]
    images = [np.asarray(scene(seed), float) * 0.2 + sky * 0.8 for seed in (0, 1)]
    assert np.corrcoef(images[0].ravel(), images[1].ravel())[0, 1] > 0.98
    assert find([Image.fromarray(image.astype(np.uint8)) for image in images], phash="0123456789abcdef") == []


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(7)))
def test_the_order_of_rows_changes_no_pair(order):
    images = [*(scene(seed) for seed in range(3)), *(copy(scene(1)) for copy in list(COPIES.values())[:4])]
    ids = [f"{number:064x}" for number in range(7)]
    moved = find([images[number] for number in order], image_id=[ids[number] for number in order])
    back = {tuple(sorted((order[one], order[other]))) for one, other in moved}
    assert back == set(find(images, image_id=ids))
    assert len(back) >= 6


def test_exact_copies_are_no_near_ones():
    assert find([scene(0), scene(0)], image_id="a" * 64) == []


def test_quarantined_pictures_are_not_compared():
    image = scene(0)
    assert find([image, recompressed(image)], status=["ok", "empty file: it has 0 bytes"]) == []


def test_pictures_smaller_than_the_hash_looks_at_are_not_compared():
    image = scene(0).resize((31, 31))
    assert find([image, recompressed(image)]) == []
    image = scene(0).resize((32, 32))
    assert find([image, recompressed(image)]) == [(0, 1)]


def test_flat_pictures_do_not_divide_by_zero():
    assert find([Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 40), "blue")]) == []


def test_each_picture_is_read_once():
    image = scene(0)
    pixels = [np.asarray(recompressed(image)) for _ in range(4)]
    seen = []
    table = pd.DataFrame({"image_id": list("abcd"), "label": 0, "bytes": 1, "status": "ok"})
    table = conform(table.assign(width=SIDE, height=SIDE, phash=str(imagehash.phash(image))))
    assert len(find_near_duplicates(table, lambda position: seen.append(position) or pixels[position])) == 6
    assert sorted(seen) == [0, 1, 2, 3]


HASHES = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8)
FLIPS = st.lists(st.tuples(st.integers(0, 7), st.sets(st.integers(0, 63), max_size=MAX_BITS + 2)), max_size=12)


@settings(max_examples=200, deadline=None)
@given(HASHES, FLIPS)
def test_the_search_finds_exactly_what_comparing_all_pairs_finds(seeds, flips):
    """Around each hash lie others that differ in a few bits."""
    numbers = sorted([*seeds, *(seeds[seed % len(seeds)] ^ sum(1 << bit for bit in bits) for seed, bits in flips)])
    first, second = candidate_pairs(np.array(numbers, dtype=np.uint64))
    expected = [
        (i, j)
        for i in range(len(numbers))
        for j in range(i + 1, len(numbers))
        if (numbers[i] ^ numbers[j]).bit_count() <= MAX_BITS
    ]
    assert list(zip(first, second, strict=True)) == expected


def test_the_search_is_right_where_it_must_pause_for_memory(monkeypatch):
    hashes = np.random.default_rng(0).integers(0, 2**63, 400, dtype=np.uint64)
    hashes[100:160] = hashes[7]
    hashes.sort()
    whole = candidate_pairs(hashes)
    monkeypatch.setattr(similar_hashes, "_PAIRS_AT_ONCE", 50)
    for one, other in zip(whole, candidate_pairs(hashes), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(whole[0]) == 61 * 60 // 2


def components(hashes: np.ndarray) -> int:
    first, second = candidate_pairs(np.sort(hashes))
    pairs = list(zip(first, second, strict=True))
    return len(set(grouped([f"{number:06}" for number in range(len(hashes))], pairs)))


def test_many_equal_hashes_give_few_pairs_that_connect_them_all():
    hashes = np.full(5_000, 5, np.uint64)
    assert len(candidate_pairs(hashes)[0]) <= 5_000 * similar_hashes.MOST_NEIGHBOURS
    assert components(hashes) == 1


def test_a_crowd_of_similar_hashes_gives_few_pairs_that_connect_them_all(monkeypatch):
    monkeypatch.setattr(similar_hashes, "MOST_COMPARED", 50)
    monkeypatch.setattr(similar_hashes, "MOST_NEIGHBOURS", 10)
    random = np.random.default_rng(0)
    hashes = np.zeros(2_000, np.uint64)
    for _ in range(4):
        hashes ^= np.uint64(1) << random.integers(0, 64, len(hashes), dtype=np.uint64)
    distinct = np.unique(hashes)
    assert len(candidate_pairs(distinct)[0]) <= 10 * len(distinct)
    assert components(distinct) == 1


# Groups.


def grouped(ids: list[str], pairs: list[tuple[int, int]]) -> list[str]:
    table = pd.DataFrame({"image_id": ids, "label": 0, "bytes": 1, "status": "ok"})
    return list(assign_groups(conform(table), pd.DataFrame(pairs, columns=["first", "second"]))["group"])


def test_a_group_is_named_by_the_least_of_its_ids_and_goes_through_others():
    assert grouped(["d", "b", "c", "a", "e"], [(0, 1), (1, 2)]) == ["b", "b", "b", "a", "e"]


def test_without_pairs_each_image_is_its_own_group():
    assert grouped(["d", "b"], []) == ["d", "b"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12), st.permutations(range(10)))
def test_groups_do_not_hang_on_the_order_of_rows(pairs, order):
    ids = [f"{number}" for number in range(10)]
    there = dict(zip(ids, grouped(ids, pairs), strict=True))
    place = {number: position for position, number in enumerate(order)}
    moved = grouped([ids[number] for number in order], [(place[i], place[j]) for i, j in pairs])
    assert dict(zip([ids[number] for number in order], moved, strict=True)) == there
