"""Where things live, and what is switched off, by environment variables."""

import os
from pathlib import Path

import pytest

from pipeline_config.settings import Settings, configure_environment

SWITCHED_OFF = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
}


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """An empty environment of the test's own, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {})
    return os.environ


# Places


@pytest.mark.usefixtures("environment")
def test_with_nothing_set_all_is_below_the_current_folder(tmp_path):
    settings = Settings()
    assert settings.home == tmp_path / ".darkroom"
    assert settings.data == tmp_path / ".darkroom" / "data"
    assert settings.cache == tmp_path / ".darkroom" / "cache"
    assert settings.tracking_uri == f"sqlite:///{tmp_path}/.darkroom/mlflow.db"
    assert settings.artifact_location == f"file://{tmp_path}/.darkroom/artifacts"
    assert settings.prefect_api_url is None
    assert not settings.tracks_on_server


def test_darkroom_home_is_obeyed(environment, tmp_path):
    environment["DARKROOM_HOME"] = str(tmp_path / "else where")
    settings = Settings()
    assert settings.home == tmp_path / "else where"
    assert settings.tracking_uri == f"sqlite:///{tmp_path}/else where/mlflow.db"


@pytest.mark.parametrize(("given", "expected"), [("~/rooms", "user/rooms"), ("rooms/dark", "rooms/dark")])
def test_darkroom_home_becomes_absolute(environment, tmp_path, given, expected):
    environment.update(HOME=str(tmp_path / "user"), DARKROOM_HOME=given)
    assert Settings().home == tmp_path / expected


def test_home_that_is_set_to_nothing_is_as_if_it_were_not_set(environment, tmp_path):
    environment["DARKROOM_HOME"] = ""
    assert Settings().home == tmp_path / ".darkroom"


@pytest.mark.parametrize(
    ("uri", "on_server"),
    [("http://127.0.0.1:5000", True), ("https://mlflow.example", True), ("sqlite:////srv/mlflow.db", False)],
)
def test_mlflow_tracking_uri_is_obeyed_and_decides_where_artifacts_lie(environment, uri, on_server):
    environment["MLFLOW_TRACKING_URI"] = uri
    settings = Settings()
    assert settings.tracking_uri == uri
    assert settings.tracks_on_server == on_server
    assert settings.artifact_location is None


def test_artifacts_stay_in_the_home_after_mlflow_has_set_the_variable_itself(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # put back when the test ends
    before = mlflow.get_tracking_uri()
    try:
        mlflow.set_tracking_uri(Settings().tracking_uri)
        assert os.environ["MLFLOW_TRACKING_URI"] == Settings().tracking_uri
        assert Settings().artifact_location == (tmp_path / "artifacts").as_uri()
    finally:
        mlflow.set_tracking_uri(before)


def test_prefect_api_url_is_obeyed(environment):
    environment["PREFECT_API_URL"] = "http://127.0.0.1:4200/api"
    assert Settings().prefect_api_url == "http://127.0.0.1:4200/api"


def test_settings_make_no_folder(environment, tmp_path):
    environment["DARKROOM_HOME"] = "rooms"
    settings = Settings()
    assert settings.cache.is_absolute()
    assert settings.tracking_uri
    assert list(tmp_path.iterdir()) == []


# What the libraries read


def test_telemetry_is_switched_off(environment):
    configure_environment()
    assert {name: environment[name] for name in SWITCHED_OFF} == SWITCHED_OFF


@pytest.mark.parametrize("name", [*SWITCHED_OFF, "TF_CPP_MIN_LOG_LEVEL", "MPLBACKEND", "PREFECT_HOME"])
def test_what_the_user_has_set_stays(environment, name):
    environment[name] = "as the user wants it"
    configure_environment()
    assert environment[name] == "as the user wants it"


def test_prefect_keeps_its_files_in_the_home(environment, tmp_path):
    environment["DARKROOM_HOME"] = "rooms"
    assert configure_environment().home == tmp_path / "rooms"
    assert Path(environment["PREFECT_HOME"]) == tmp_path / "rooms" / "prefect"


def test_places_that_the_user_has_not_set_stay_unset(environment):
    """Set, they would pass for the user's own in a child process."""
    configure_environment()
    assert not environment.keys() & {"DARKROOM_HOME", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"}
