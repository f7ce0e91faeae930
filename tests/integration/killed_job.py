"""Runs a job that kills itself with SIGKILL right after it has saved a certain checkpoint.

    python -m tests.integration.killed_job CHECKPOINTS STEP JOB [FLAG ...]

Whoever kills it from outside has to be quick: a small training is over before he looks.
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
