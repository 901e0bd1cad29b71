"""What people see, and what becomes of the work where nobody looks."""

import os
import subprocess
import sys

SAYS = "from tasks.progress import say; say('one'); say('two'); print('done')"


def test_the_work_goes_on_when_nobody_reads_what_it_says_any_more(repository):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", SAYS], cwd=repository, stdout=subprocess.PIPE, stderr=writing, text=True, check=False
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stdout) == (0, "done\n")
