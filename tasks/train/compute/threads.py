"""How many threads TensorFlow's operations get."""

import os
from typing import Literal

import joblib


def use_threads(threads: int | Literal["auto"]) -> None:
    """Tell TensorFlow, which listens once, before its first operation in the process.

    Args:
        threads: auto is as many as the process may use at once; affinity and a container's share count, of which
            TensorFlow itself knows nothing.
    """
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(joblib.cpu_count() if threads == "auto" else threads)
