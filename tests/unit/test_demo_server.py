"""What keeps the demo from starting is told in a sentence."""

from unittest import mock

import pytest

from flows.demo import check_installed
from pipeline_config.errors import ConfigurationError
from tasks.serve.server import open_port


def test_a_port_in_use_is_a_sentence_and_free_again_afterwards():
    with open_port("127.0.0.1", 0) as listening:
        host, port = listening.getsockname()
        with pytest.raises(ConfigurationError, match=f"{host}:{port} cannot be used: Address already in use"):
            open_port(host, port)
    open_port(host, port).close()


def test_an_address_of_another_machine_is_a_sentence():
    with pytest.raises(ConfigurationError, match="expected --host and --port that are free on this machine"):
        open_port("203.0.113.1", 0)


def test_without_gradio_people_are_told_what_to_install():
    missing = mock.patch("importlib.util.find_spec", return_value=None)
    with missing, pytest.raises(ConfigurationError, match=r"pip install 'darkroom\[demo\]'"):
        check_installed()
