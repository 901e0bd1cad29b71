"""A benchmark in a process of its own that prints its results alone: `python -m benchmarks.process NAME [--quick]`."""

import importlib
import os
import sys

from pipeline_config.settings import DEFAULTS


def main() -> None:
    """Load TensorFlow without its lines, then measure."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    from flows.start import load_tensorflow
    from tasks.progress import console

    console.quiet = True
    load_tensorflow()
    importlib.import_module(f"benchmarks.{sys.argv[1]}").measure("--quick" in sys.argv[2:])


if __name__ == "__main__":
    main()
