"""`make bench`: every benchmark, or those that are named, each in a process of its own."""

import argparse
import os
import subprocess
import sys
from tempfile import TemporaryDirectory

BENCHMARKS = ("training", "features", "overhead", "input_data", "memory")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; all where none is given")
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds: a few minutes in all")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(BENCHMARKS):
        parser.error(f"expected names of {', '.join(BENCHMARKS)}; received {', '.join(sorted(unknown))}")
    quick = ["--quick"] if asked.quick else []
    with TemporaryDirectory() as home:  # of all: what is measured to choose a policy is measured once
        environment = {**os.environ, "DARKROOM_HOME": home}
        for name in asked.names or BENCHMARKS:
            command = [sys.executable, "-m", "benchmarks.process", name, *quick]
            ended = subprocess.run(command, env=environment, check=False)
            if ended.returncode:
                sys.exit(ended.returncode)


if __name__ == "__main__":
    main()
