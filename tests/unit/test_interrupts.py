"""A Ctrl-C that Python drops ends the training all the same."""

import subprocess
import sys

DROPPED = """
import os, signal
from tasks.interrupts import note_interrupts, raise_lost_interrupt

class Dropping:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(1000))

note_interrupts()
raise_lost_interrupt()
Dropping()
print("it was dropped", flush=True)
try:
    raise_lost_interrupt()
except KeyboardInterrupt:
    print("and came again", flush=True)
"""
TRAINED = """
import numpy as np
import pandas as pd
from tasks import interrupts
from pipeline_config.experiment import Model
from tasks.input_pipeline import ImageSet
from tasks.train.fit import fit_model
from tasks.train.registry import build_model

np.save("pixels.npy", np.random.default_rng(1).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8))
rows = pd.DataFrame({"label": [0, 1] * 12, "split": ["train"] * 16 + ["validation"] * 8})
images = ImageSet(rows.assign(image_id=[str(number) for number in range(24)]), "pixels.npy")
section = {"family": "cnn_plain", "params": {"filters": [4], "convolutions": 1, "dense_units": [8]}}
model = Model(name="m", **section, train={"epochs": 3, "batch_size": 8})
interrupts._asked.set()
try:
    fit_model(build_model(model, (8, 8, 3), 2), images, model.train, "m", None)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def said(code: str, folder) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_interrupt_that_is_dropped_in_a_finalizer_comes_again(tmp_path):
    assert said(DROPPED, tmp_path) == ["it was dropped", "and came again"]


def test_a_training_that_an_interrupt_did_not_reach_ends_at_its_next_step(tmp_path):
    assert said(TRAINED, tmp_path) == ["interrupted"]
