"""What the benchmarks print."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def report():
    """`benchmarks/report.py`, which is not installed with the rest."""
    path = Path(__file__).parents[2] / "benchmarks" / "report.py"
    spec = importlib.util.spec_from_file_location("benchmarks_report", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass looks for its module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_parts_are_measured_in_turns_and_their_medians_taken(report):
    calls, values = [], {"slow": iter([1.0, 9.0, 2.0]), "fast": iter([30.0, 10.0, 20.0])}

    def part(name):
        def measure():
            calls.append(name)
            return next(values[name])

        return measure

    medians = report.in_turns({name: part(name) for name in values}, rounds=3)

    assert calls == ["slow", "fast"] * 3
    assert medians == {"slow": 2.0, "fast": 20.0}


def test_a_table_is_followed_by_one_line_of_json_with_the_ratios(report, capsys):
    rows = [report.Row("ours", 1234.5, "images/s", 1.5, "theirs"), report.Row("theirs", 823.0, "images/s")]

    report.show("training", rows, "small images")

    *table, last = capsys.readouterr().out.splitlines()
    assert any("ours" in line and "1.5 × theirs" in line for line in table)
    shown = json.loads(last)
    assert (shown["benchmark"], shown["about"]) == ("training", "small images")
    assert [(row["name"], row["value"], row["ratio"]) for row in shown["rows"]] == [
        ("ours", 1234.5, 1.5),
        ("theirs", 823.0, None),
    ]
    assert not any(line.startswith("{") for line in table)
