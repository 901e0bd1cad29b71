"""What a worker is started with."""

import ssl

import pytest

from flows.worker import _small_bundle
from pipeline_config.settings import Settings

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def server(monkeypatch):
    def name(url):
        monkeypatch.setenv("PREFECT_API_URL", url)
        return Settings()

    return name


def test_a_worker_of_a_server_without_tls_reads_one_authority_in_place_of_all(server):
    (bundle,) = _small_bundle(server("http://127.0.0.1:4200/api")).values()
    assert ssl.create_default_context(cafile=bundle).cert_store_stats()["x509_ca"] == 1


def test_a_worker_of_a_server_with_tls_reads_them_all(server):
    assert _small_bundle(server("https://prefect.example/api")) == {}


def test_a_bundle_of_the_user_s_own_stays(server, monkeypatch):
    monkeypatch.setenv("PREFECT_API_SSL_CERT_FILE", "own.pem")
    assert _small_bundle(server("http://127.0.0.1:4200/api")) == {}
