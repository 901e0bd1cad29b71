"""Nothing leaves the machine: whole commands in a network of their own, watched by strace."""

import sys

import pytest

from benchmarks import offline

TINY = {"name": "cnn", "family": "cnn_plain", "params": {"filters": [4], "convolutions": 1, "dense_units": [8]}}
REACHES_OUT = "import socket; socket.socket().connect_ex(('192.0.2.1', 80))"  # an address that belongs to nobody


@pytest.fixture
def own_network() -> None:
    if not offline.is_possible():
        pytest.fail(offline.NEEDED)


def test_an_address_beyond_loopback_is_told_and_one_of_loopback_is_not():
    lines = [
        '7 connect(5, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("192.0.2.1")}, 16) = -1 ENETUNREACH',
        "7 connect(5, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "
        '"2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = -1 ENETUNREACH (Network is unreachable)',
        '8 sendto(5, ""..., 9, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 9',
        '9 connect(5, {sa_family=AF_INET, sin_port=htons(4200), sin_addr=inet_addr("127.0.0.1")}, 16) = 0',
        '9 connect(5, {sa_family=AF_UNIX, sun_path="/run/nscd/socket"}, 110) = -1 ENOENT (No such file or directory)',
    ]
    assert list(offline.reached_for(lines)) == ["192.0.2.1:443", "2001:db8::1:443", "127.0.0.53:53"]


@pytest.mark.soak
@pytest.mark.usefixtures("own_network")
def test_a_program_that_reaches_out_is_seen_and_gets_nowhere(tmp_path):
    _, found = offline.watch([sys.executable, "-c", REACHES_OUT], tmp_path / "log", tmp_path / "home")
    assert found == ["192.0.2.1:80"]


@pytest.mark.soak
@pytest.mark.usefixtures("own_network")
def test_run_sweep_promote_predict_and_the_demo_reach_for_nothing_beyond_loopback(
    tmp_path, new_home, pictures, write_experiment, free_port
):
    sweep = {"model": "cnn", "space": {"train.learning_rate": [0.01, 0.003]}}
    experiment = write_experiment(tmp_path / "private.yaml", pictures, models=[TINY], sweep=sweep)
    picture = next(pictures.glob("red/*.png"))
    commands = [["run", str(experiment), "--json"], ["promote", "BEST"], ["predict", str(picture)]]
    commands.append(["demo", "--port", str(free_port())])
    code, found = offline.run_commands(commands, tmp_path, new_home(tmp_path / "home"))
    assert (code, found) == (0, [])
