"""Work in a process of its own: what comes back of it, how its end is told, and that it ends with who waits for it."""

import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from unittest import mock

import psutil
import pytest

from pipeline_config.errors import ConfigurationError, DarkroomError
from tasks import processes
from tasks.processes import WorkEnded, WorkFailed, ended_with_block, run_isolated


@pytest.fixture(scope="module", autouse=True)
def light_nursery():
    """One that does not import TensorFlow, unless other tests have opened one that does."""
    server = forkserver._forkserver
    was_open = server._forkserver_pid is not None
    with mock.patch.object(processes, "_PRELOADED", ("tasks.processes",)):
        yield
    if not was_open:
        server._stop()


@pytest.fixture(autouse=True)
def importable(monkeypatch, repository):
    """The work of this file, for the processes; and none of it is refused since another test's block is over."""
    monkeypatch.syspath_prepend(str(repository))
    processes._over.clear()


def nothing_heard(value):
    pytest.fail(f"the work told {value}")


def runs(pid):
    """Also after its parent, so that nobody asks for its exit code."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


# What the work does; each is given `tell` first.


def add(_, first, second):
    return first + second, os.getpid()


def converse(tell, count):
    return [tell(number) for number in range(count)]


def fail(_, error):
    raise error


def end(_, how):
    os.write(2, b"loading\nweights do not fit\n")
    how = signal.Signals[how] if isinstance(how, str) else how
    os._exit(how) if not isinstance(how, signal.Signals) else os.kill(os.getpid(), how)
    time.sleep(60)


def wait(tell):
    """For an end from outside; tells its process, and that of the nursery."""
    tell((os.getpid(), os.getppid()))
    time.sleep(600)


def read_environment(_):
    return os.environ.get("DARKROOM_NEW"), os.environ.get("DARKROOM_TEST_DATA")


def write_everywhere(_):
    print("from Python", flush=True)
    os.write(2, b"from a library\n")
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)


def be_interrupted(_):
    os.kill(os.getpid(), signal.SIGINT)
    return "went on"


# What comes back.


def test_the_answer_is_that_of_the_work_done_in_another_process(tmp_path):
    answer, pid = run_isolated(add, (2, 3), nothing_heard, tmp_path / "log")
    assert answer == 5
    assert pid != os.getpid()
    assert not runs(pid)


def test_what_the_work_tells_is_heard_in_order_and_answered(tmp_path):
    heard = []
    answers = run_isolated(converse, (4,), lambda number: heard.append(number) or number * 10, tmp_path / "log")
    assert heard == [0, 1, 2, 3]
    assert answers == [0, 10, 20, 30]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DarkroomError("models.cnn: the training loss became nan"), "models.cnn: the training loss became nan"),
        (ValueError("unlike\n  shapes"), "ValueError: unlike shapes"),
    ],
)
def test_an_error_of_the_work_is_told_in_its_sentence(tmp_path, error, sentence):
    with pytest.raises(WorkFailed) as raised:
        run_isolated(fail, (error,), nothing_heard, tmp_path / "log")
    assert str(raised.value) == sentence


def test_a_disk_that_was_full_there_is_told_as_a_full_disk_here(tmp_path, home):
    home.mkdir()
    with pytest.raises(OSError, match="the disk is full") as raised:
        run_isolated(fail, (OSError(errno.ENOSPC, "No space left"),), nothing_heard, tmp_path / "log")
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.parametrize(("how", "told"), [("SIGSEGV", "by signal SIGSEGV"), (3, "with exit code 3")])
def test_a_crash_is_told_with_its_cause_the_last_lines_and_the_log(tmp_path, how, told):
    log = tmp_path / "trials" / "log"
    with pytest.raises(WorkFailed) as raised:
        run_isolated(end, (how,), nothing_heard, log)
    assert str(raised.value) == f"its process ended {told}: loading weights do not fit; {log}"


def test_a_process_that_was_killed_is_told_as_one_that_memory_ran_out_of(tmp_path):
    with pytest.raises(WorkFailed, match=r"its process was killed.*memory.*execution\.workers.*train\.batch_size"):
        run_isolated(end, ("SIGKILL",), nothing_heard, tmp_path / "log")


def test_variables_are_those_of_now_and_not_those_of_the_nursery(tmp_path, monkeypatch):
    run_isolated(add, (1, 1), nothing_heard, tmp_path / "log")  # there is a nursery from now on
    monkeypatch.setenv("DARKROOM_NEW", "new")
    monkeypatch.delenv("DARKROOM_TEST_DATA")
    assert run_isolated(read_environment, (), nothing_heard, tmp_path / "log") == ("new", None)


def test_what_the_process_writes_goes_to_its_log_and_not_to_the_terminal(tmp_path, capfd):
    run_isolated(write_everywhere, (), nothing_heard, tmp_path / "log")
    assert set((tmp_path / "log").read_text().splitlines()) == {"from Python", "from a library", "from C"}
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_in_the_terminal_is_left_to_the_process_that_waits(tmp_path):
    assert run_isolated(be_interrupted, (), nothing_heard, tmp_path / "log") == "went on"


def test_a_daemonic_process_is_told_that_it_may_not_have_others(tmp_path):
    with (
        mock.patch.dict(processes.multiprocessing.current_process()._config, daemon=True),
        pytest.raises(ConfigurationError, match="DASK_DISTRIBUTED__WORKER__DAEMON=False"),
    ):
        run_isolated(add, (1, 1), nothing_heard, tmp_path / "log")


# How it ends.


def test_an_error_of_who_hears_ends_the_work_at_once(tmp_path):
    heard = []

    def refuse(value):
        heard.append(value)
        raise OSError("no server")

    started = time.monotonic()
    with pytest.raises(OSError, match="no server"):
        run_isolated(wait, (), refuse, tmp_path / "log")
    ((pid, _),) = heard
    assert not runs(pid)
    assert time.monotonic() - started < 4


@contextmanager
def at_work(tmp_path, wait_until):
    """Work that would last for minutes, in a thread: its process, the nursery, and what became of it."""
    heard, became = [], []

    def do():
        try:
            became.append(run_isolated(wait, (), heard.append, tmp_path / "log"))
        except BaseException as error:
            became.append(error)

    thread = threading.Thread(target=do)
    with ended_with_block():
        thread.start()
        wait_until(lambda: heard or became, 60, "the work")
        yield *heard[0], became
    thread.join(20)
    assert not thread.is_alive()


def test_work_ends_with_its_block_and_is_no_failure(tmp_path, wait_until):
    with at_work(tmp_path, wait_until) as (pid, _, became):
        pass
    assert [type(ended) for ended in became] == [WorkEnded]
    assert not isinstance(became[0], Exception)
    assert not runs(pid)


def test_work_that_would_begin_when_the_block_is_over_is_refused_until_the_next_one(tmp_path):
    with ended_with_block():
        pass
    with pytest.raises(WorkEnded):
        run_isolated(add, (1, 1), nothing_heard, tmp_path / "log")
    with ended_with_block():
        assert run_isolated(add, (1, 1), nothing_heard, tmp_path / "log")[0] == 2


def test_a_nursery_that_is_killed_costs_no_work(tmp_path, wait_until):
    nurseries = []

    def kill_the_nursery(_):
        nurseries.append(forkserver._forkserver._forkserver_pid)
        os.kill(nurseries[-1], signal.SIGKILL)
        wait_until(lambda: not runs(nurseries[-1]), 10, "its end")

    answer = run_isolated(converse, (1,), kill_the_nursery, tmp_path / "log")
    assert answer == [None]
    assert run_isolated(add, (1, 1), nothing_heard, tmp_path / "log")[0] == 2
    assert forkserver._forkserver._forkserver_pid not in nurseries


WAITING = """
import sys
from pathlib import Path

from tasks import processes
from tests.unit.test_processes import wait

processes._PRELOADED = ("tasks.processes",)
processes.run_isolated(wait, (), lambda pids: print(*pids, flush=True), Path(sys.argv[1]))
"""


def test_the_process_and_the_nursery_end_with_a_parent_that_is_killed(tmp_path, repository, wait_until):
    command = [sys.executable, "-c", WAITING, str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(runs(pid) for pid in pids)
        parent.kill()
    wait_until(lambda: not any(runs(pid) for pid in pids), 20, "the end of both")
