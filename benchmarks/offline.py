"""Proof that nothing leaves this machine: whole commands in a network of their own, every connection noted.

    make offline
    make offline ARGS='--experiment digits'

Run, sweep, promote, predict and the demo go on in a network namespace that has loopback alone, below strace, which
notes every address that any process of theirs connects or sends to: what would reach for the network fails, and is
seen to have tried. Nothing is switched off for it: what is seen is what an installation does that nobody has
configured. A question to a name server counts as well, on loopback too. Needs Linux, unshare and strace (apt-get
install strace).
"""

import argparse
import fcntl
import ipaddress
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from flows.prefect_server import free_port

NEEDED = "expected unshare and strace, and the right to use both; apt-get install strace"
_FOREIGN = ("DARKROOM_", "GX_", "KERAS_", "MLFLOW_", "PREFECT_", "GRADIO_", "HF_")
_NOT_TRACKED = ("DO_NOT_TRACK", "CI")  # each switches some telemetry off
_CALLS = "connect,sendto,sendmsg,sendmmsg"
_ADDRESS = re.compile(
    r"sa_family=AF_INET6?, sin6?_port=htons\((\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )\"([^\"]+)\"",
)
_LOOPBACK_UP = struct.pack("16sH", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
_SIOCSIFFLAGS = 0x8914


def is_possible() -> bool:
    """Whether a process may have a network of its own, and be watched."""
    command = [*_own_network(), "strace", "-f", "-o", os.devnull, "true"]
    if not all(shutil.which(program) for program in (command[0], "strace")):
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def watch(command: list[str], log: Path, home: Path) -> tuple[int, list[str]]:
    """Run a command in a network of its own.

    Returns:
        Its exit code, and every address beyond loopback, or of a name server, that it reached for, once.
    """
    variables = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    variables = {key: value for key, value in variables.items() if key not in _NOT_TRACKED}
    inside = [sys.executable, "-m", "benchmarks.offline", "--inside", str(log), *command]
    done = subprocess.run([*_own_network(), *inside], env={**variables, "DARKROOM_HOME": str(home)}, check=False)
    with log.open(errors="replace") as lines:
        return done.returncode, sorted(set(reached_for(lines)))


def reached_for(lines: Iterable[str]) -> Iterator[str]:
    """Of lines of strace, the addresses that are not this machine's own, and those of name servers."""
    for line in lines:
        for port, address in _ADDRESS.findall(line):
            if port == "53" or not ipaddress.ip_address(address).is_loopback:
                yield f"{address}:{port}"


def _own_network() -> list[str]:
    return ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]


def _inside(log: str, *command: str) -> None:
    """In the new network: loopback is brought up, and strace takes this process's place."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _LOOPBACK_UP)
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-s", "0", "-e", f"trace={_CALLS}", "-o", log, *command]
    os.execvp("strace", strace)


def run_commands(commands: list[list[str]], folder: Path, home: Path) -> tuple[int, list[str]]:
    """`darkroom` with each of these words, as `watched.py` takes them.

    Returns:
        As `watch`.
    """
    asked = folder / "commands.json"
    asked.write_text(json.dumps(commands))
    return watch([sys.executable, "-m", "benchmarks.watched", str(asked)], folder / "strace.log", home)


def main() -> None:
    """Print what was reached for; the exit code is 1 where that was anything, or a command failed."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--experiment", default="digits")
    experiment = asked.parse_args().experiment
    if not is_possible():
        sys.exit(NEEDED)
    with tempfile.TemporaryDirectory(prefix="darkroom-offline-") as name:
        folder = Path(name)
        code, found = run_commands(_whole(experiment, folder), folder, folder / "home")
    print(f"exit code {code}; reached for beyond loopback: {', '.join(found) or 'nothing'}", file=sys.stderr)
    print(json.dumps({"code": code, "reached_for": found}))
    sys.exit(bool(code or found))


def _whole(experiment: str, folder: Path) -> list[list[str]]:
    """Run with a sweep in it, whose trials are processes; then what is done with the champion."""
    from PIL import Image

    picture = folder / "picture.png"
    Image.new("RGB", (32, 32), "white").save(picture)
    section = {"model": "cnn", "space": {"train.learning_rate": [0.002, 0.001]}}
    sweep = ["--set", f"sweep={yaml.safe_dump(section, default_flow_style=True).strip()}", "--set", "train.epochs=4"]
    demo = ["demo", "--port", str(free_port())]
    return [["run", experiment, *sweep, "--json"], ["promote", "BEST"], ["predict", str(picture)], demo]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        _inside(*sys.argv[2:])
    main()
