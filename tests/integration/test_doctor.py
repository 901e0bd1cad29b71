"""`darkroom doctor` tells what is there, and names what is not."""

import pytest

from flows import doctor
from pipeline_config.errors import DarkroomError

NOWHERE = "http://127.0.0.1:9"  # the discard port, where nothing listens


def states(answer):
    return {finding["what"]: finding["state"] for finding in answer["findings"]}


def test_where_all_is_well_it_ends_with_code_0(darkroom_here, new_home, prefect_url, tmp_path):
    home = new_home(tmp_path / "home")
    done = darkroom_here("doctor", "--json", home=home)
    assert (done.code, done.answer["status"]) == (0, "done")
    needed = ("libraries", "DARKROOM_HOME", "MLflow", "Prefect", "processor", "memory")
    assert dict.fromkeys(needed, "ok").items() <= states(done.answer).items()
    told = {finding["what"]: finding["told"] for finding in done.answer["findings"]}
    assert str(home) in told["DARKROOM_HOME"]
    assert told["Prefect"] == prefect_url
    assert "tensorflow 2." in told["libraries"]
    assert "libraries" in darkroom_here("doctor", home=home).said


def test_a_server_that_is_away_is_named_and_all_else_is_looked_at(darkroom, tmp_path):
    done = darkroom("doctor", "--json", home=tmp_path / "home", MLFLOW_TRACKING_URI=NOWHERE)
    assert (done.code, done.answer["status"]) == (5, "failed")
    assert f"MLFLOW_TRACKING_URI={NOWHERE}" in done.answer["error"]
    assert "Traceback" not in done.stderr
    found = states(done.answer)
    assert (found["MLflow"], found["DARKROOM_HOME"], found["libraries"]) == ("failed", "ok", "ok")


def test_a_library_that_is_missing_ends_with_code_1_and_an_extra_does_not(monkeypatch, new_home, tmp_path):
    monkeypatch.setenv("DARKROOM_HOME", str(new_home(tmp_path / "home")))
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda package: None if package == "gradio" else version(package))
    assert states(doctor.examine())["gradio"] == "missing"
    monkeypatch.setattr(doctor, "_version", lambda package: None if package == "pandas" else version(package))
    with pytest.raises(DarkroomError, match="received no pandas") as raised:
        doctor.examine()
    assert raised.value.exit_code == 1
    assert states(raised.value.answer)["libraries"] == "failed"
