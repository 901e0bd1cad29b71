"""Which model the demo answers by: a new champion at once, the one before it where the new one is broken."""

import threading

import pytest

from pipeline_config.errors import DarkroomError
from tasks.serve.champion import LOOK_EVERY, Champion


class Registry:
    """A store whose alias is moved by hand, and a clock that stands still until it is put on."""

    def __init__(self):
        self.uri, self.seconds, self.looked, self.opened, self.broken = "models:/a/1", 0.0, 0, [], set()

    def find(self):
        self.looked += 1
        if self.uri is None:
            raise DarkroomError("the store is gone")
        return self.uri

    def open(self, uri):
        self.opened.append(uri)
        if uri in self.broken:
            raise DarkroomError("its files are broken")
        return f"model of {uri}"

    def later(self, seconds=LOOK_EVERY):
        self.seconds += seconds


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def champion(registry):
    return Champion(registry.find, registry.open, lambda: registry.seconds)


def test_a_new_champion_answers_at_the_next_look_without_a_restart(registry, champion):
    registry.uri = "models:/a/2"
    assert champion.current() == "model of models:/a/1"
    registry.later()
    assert champion.current() == "model of models:/a/2"
    assert (champion.problem, registry.opened) == ("", ["models:/a/1", "models:/a/2"])


def test_the_alias_is_looked_up_once_a_second_however_many_ask(registry, champion):
    for _ in range(100):
        champion.current()
    assert registry.looked == 1
    registry.later()
    for _ in range(100):
        champion.current()
    assert registry.looked == 2
    assert registry.opened == ["models:/a/1"]


def test_a_broken_champion_leaves_the_one_before_it_serving_and_is_told_and_tried_again_later(registry, champion):
    registry.uri = "models:/a/2"
    registry.broken = {"models:/a/2"}
    for _ in range(5):
        registry.later()
        assert champion.current() == "model of models:/a/1"
    assert registry.opened.count("models:/a/2") == 1
    told = "models:/a/2 was chosen but cannot be used; models:/a/1 still answers. its files are broken"
    assert champion.problem == told
    registry.broken = set()
    registry.later(60)
    assert champion.current() == "model of models:/a/2"
    assert champion.problem == ""


def test_a_broken_champion_that_is_taken_back_is_forgotten(registry, champion):
    registry.uri, registry.broken = "models:/a/2", {"models:/a/2"}
    registry.later()
    champion.current()
    registry.uri = "models:/a/1"
    registry.later()
    assert champion.current() == "model of models:/a/1"
    assert champion.problem == ""


def test_a_store_that_does_not_answer_stops_nothing(registry, champion):
    registry.uri = None
    registry.later()
    assert champion.current() == "model of models:/a/1"
    assert "the store is gone" in champion.problem
    registry.uri = "models:/a/1"
    registry.later()
    champion.current()
    assert champion.problem == ""


def test_nobody_waits_for_a_model_that_another_opens(registry):
    opening, go_on = threading.Event(), threading.Event()

    def open_slowly(uri):
        if uri.endswith("2"):
            opening.set()
            assert go_on.wait(30)
        return uri

    champion = Champion(registry.find, open_slowly, lambda: registry.seconds)
    registry.uri = "models:/a/2"
    registry.later()
    opener = threading.Thread(target=champion.current)
    opener.start()
    assert opening.wait(30)
    assert champion.current() == "models:/a/1"
    go_on.set()
    opener.join(30)
    assert champion.current() == "models:/a/2"


def test_the_first_model_must_open(registry):
    registry.broken = {"models:/a/1"}
    with pytest.raises(DarkroomError, match="broken"):
        Champion(registry.find, registry.open)
