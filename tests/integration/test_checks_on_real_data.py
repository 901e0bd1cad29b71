"""What is known to be wrong with real data sets is found, and nothing that is not there."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pipeline_config.experiment import Dataset, Split, Validation
from tasks.ingest.listing import list_dataset
from tasks.split.assign import assign_splits
from tasks.validate.checked import CheckedData
from tasks.validate.checking import check_listing


@pytest.fixture(scope="module")
def check(real_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CheckedData]:
    """`check("animals10", source="folder", …)`: what the checks find in one of the folders of real data."""
    home = tmp_path_factory.mktemp("real")

    def run(name: str, source: str = "folder", bounds: Validation | None = None, **options: object) -> CheckedData:
        dataset = Dataset.model_validate({"source": source, "path": str(real_data(name)), **options})
        listing = list_dataset(dataset, home / "data", home / "cache")
        return check_listing(listing, bounds or Validation(), None, home / "cache")

    return run


def failed(data: CheckedData) -> dict[str, str]:
    return {result.name: result.severity for result in data.results if not result.passed}


def across_classes(data: CheckedData, kind: str) -> list[set[str]]:
    pairs = data.pairs[data.pairs["kind"] == kind]
    first, second = (data.table.loc[pairs[end]].reset_index() for end in ("first", "second"))
    unlike = first["label"] != second["label"]
    return [{one, other} for one, other in zip(first["path"][unlike], second["path"][unlike], strict=True)]


def test_scenes15_holds_copies_and_one_scene_under_two_classes(check):
    data = check("scenes15")
    assert failed(data) == {
        "duplicates": "warning",
        "conflicting_labels": "critical",
        "near_duplicates": "warning",
    }
    assert across_classes(data, "exact") == [{"InsideCity/train_image_0305.jpg", "TallBuilding/test_image_0300.jpg"}]
    assert (data.pairs["kind"] == "exact").sum() == 18
    assert across_classes(data, "near") == []


def test_animals10_holds_near_copies_one_of_them_under_two_classes(check):
    data = check("animals10")
    assert failed(data) == {"one_colour": "warning", "near_duplicates": "warning", "near_conflicts": "warning"}
    ((one, other),) = (sorted(pair) for pair in across_classes(data, "near"))
    assert (one.split("/")[0], other.split("/")[0]) == ("cavallo", "mucca")
    groups = data.table["group"].value_counts()
    assert 30 <= (groups > 1).sum() <= 45
    assert groups.max() <= 4


def test_raccoons_come_with_a_box_inside_each_picture(check):
    data = check("raccoon", source="voc", bounds=Validation(number_of_classes="off"))
    assert set(failed(data)) == {"duplicates", "near_duplicates"}
    boxes = data.table[["box_x", "box_y", "box_width", "box_height"]]
    assert len(boxes) == 200
    assert boxes.min().min() >= 0
    assert (boxes["box_x"] + boxes["box_width"]).max() <= 1
    assert (boxes["box_y"] + boxes["box_height"]).max() <= 1


def test_the_15_class_subset_of_the_scenes_recipe_is_made_by_configuration_alone(check):
    """With 210 images a class instead of its 300, which only eight of these classes have."""
    settings = {"min_images_per_class": 210, "max_classes": 15, "images_per_class": 210}
    data = check("scenes15", bounds=Validation(conflicting_labels="warning"), **settings)
    table = assign_splits(data.table, Split(train=150, validation=20, test=20))
    counts = table.groupby(["class_name", "split"]).size().unstack()
    assert len(counts) == 15
    assert set(counts["train"]) == {150}
    assert set(counts["validation"]) == set(counts["test"]) == {20}


def test_the_2000_a_class_subset_of_the_cats_and_dogs_recipe_is_made_by_configuration_alone(real_data, tmp_path):
    """The folder holds just so many; of half of them are left half."""
    for count in (2_000, 1_000):
        dataset = Dataset(source="folder", path=str(real_data("cats_vs_dogs")), images_per_class=count)
        listed = pd.read_parquet(list_dataset(dataset, tmp_path / "data", tmp_path / "cache").path)
        assert listed["class_name"].value_counts().to_dict() == {"cats": count, "dogs": count}


def test_the_animals_are_reported_in_english(check):
    english = {"cane": "dog", "gatto": "cat"}
    data = check("animals10", class_names=english, max_classes=2)
    assert data.class_names == ("cavallo", "cat")  # the first two by name, in the order of the source
