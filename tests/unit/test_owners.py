"""A process that opened a run is told to be at work, or gone, however it ended."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.tracking import owners

HOLD = "from tasks.tracking.owners import owner; print(owner(), flush=True); input()"


@contextmanager
def another_process(home: Path):
    """One that has said who it is, and waits."""
    environment = {**os.environ, "DARKROOM_HOME": str(home)}
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True) as process:
        yield process, process.stdout.readline().strip()
        process.stdin.close()


def test_this_process_is_at_work():
    assert owners.owner() == owners.owner()
    assert not owners.has_ended(owners.owner())


def test_another_process_is_at_work_until_it_is_killed(home):
    with another_process(home) as (process, tag):
        assert not owners.has_ended(tag)
        assert not owners.is_alone()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert owners.has_ended(tag)
        assert owners.is_alone()
        assert owners.has_ended(tag), "also when its file is gone"


def test_a_process_that_ends_in_order_leaves_no_file(home):
    with another_process(home) as (process, tag):
        process.communicate("\n")
    assert process.returncode == 0
    assert not Path(tag.partition(":")[2]).exists()
    assert owners.has_ended(tag)


@pytest.mark.parametrize("host", ["elsewhere", f"not-{socket.gethostname()}"])
def test_of_another_machine_nothing_is_told(host):
    assert not owners.has_ended(f"{host}:/nowhere/owner-1.lock")
