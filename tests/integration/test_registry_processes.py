"""Promotions side by side and promotions that are killed, in processes of their own on one SQLite database."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

RACES, KILLS = 2, 6


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, new_home: Callable[[Path], Path]) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("promoting")
    program = Path(__file__).with_name("promoting.py")
    command = [sys.executable, program, new_home(folder / "home"), folder, f"--races={RACES}", f"--kills={KILLS}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr
    return SimpleNamespace(**json.loads(ended.stdout.splitlines()[-1]))


def closed(registry: dict) -> list[dict]:
    return [entry for entry in registry["history"] if entry["state"] == "closed"]


def test_of_two_promotions_at_once_the_better_model_is_champion_and_every_move_has_its_record(told):
    assert len(told.races) == RACES
    for registry in told.races:
        aliases, models = registry["aliases"], registry["models"]
        assert models[str(aliases["champion"])] == "best"
        assert len(closed(registry)) == len(registry["history"]) == 3
        last, middle, first = (entry["champion_after"] for entry in registry["history"])
        assert last == aliases["champion"]
        assert [entry["champion_before"] for entry in registry["history"]] == [middle, first, None]
        assert registry["history"][0]["aliases"] == aliases


def test_a_promotion_that_is_killed_before_any_write_is_brought_together_by_reconcile(told):
    assert len(told.kills) == KILLS
    for at, registry in told.kills.items():
        after = registry["after"]
        assert after["running"] == [], at
        assert len(closed(after)) == len(after["history"]), at
        assert after["history"][0]["aliases"] == after["aliases"], at
        assert None not in after["decisions"].values(), at
        assert registry["again"] == [], at
        promoted = after["aliases"]["champion"] == 2
        assert after["aliases"] == ({"champion": 2, "previous": 1} if promoted else {"champion": 1}), at
        assert not promoted or "**Decision: promoted**" in after["cards"]["2"], at
        assert after["decisions"].get("2") == ("promoted" if promoted else after["decisions"].get("2")), at


def test_kills_hit_before_the_decision_and_after_it(told):
    """Else the test above would show less than it says."""
    sentences = [sentence for registry in told.kills.values() for sentence in registry["done"]]
    assert any("given up, no alias had moved" in sentence for sentence in sentences)
    assert any("carried out" in sentence for sentence in sentences)
    assert {registry["before"]["champion"] for registry in told.kills.values()} == {1, 2}
