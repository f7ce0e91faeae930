"""Runs a job and kills it with SIGKILL right after a given checkpoint.

    python -m tests.integration.killed_job CHECKPOINTS STEP JOB [FLAG ...]

A small training would be over before another process could kill it at the right time.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

from tf_efficientbert.training.checkpoints import Checkpoints


def main(checkpoints: str, step: str, job: str, *flags: str) -> None:
    save = Checkpoints.save

    def save_and_die(self, at, history):
        save(self, at, history)
        if self._folder == Path(checkpoints) and at >= int(step):
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpoints.save = save_and_die
    sys.argv = [job, *flags]
    runpy.run_module(job, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
