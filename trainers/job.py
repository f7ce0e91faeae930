"""What all jobs share: flags from a dataclass, one library call, clear failure."""

import dataclasses
import logging
import sys
from collections.abc import Callable

from absl import app, flags
from absl import logging as absl_logging

from tf_efficientbert.errors import UserError

flags.disclaim_key_flags()  # they are the job's: --help shows those of the module that is run

_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def run_job(options_class: type, library_call: Callable, report: Callable[[dict], None]) -> None:
    """Turns flags into `options_class`, calls the library with it, reports what it returns.

    Every field of the dataclass is a flag of the same name, type and default. A UserError is
    printed in one line and ends the process with status 1, and so does Ctrl-C.
    """
    for field in dataclasses.fields(options_class):
        _DEFINE[field.type](field.name, field.default, field.metadata["help"])

    def main(arguments: list[str]) -> None:
        if len(arguments) > 1:
            _fail(f"unexpected argument {arguments[1]!r}: options start with --")
        _show_log()
        names = [field.name for field in dataclasses.fields(options_class)]
        try:
            result = library_call(options_class(**{n: flags.FLAGS[n].value for n in names}))
        except UserError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            _fail("interrupted; the same command goes on from the last checkpoint")
        report(result)

    app.run(main)


def print_figures(result: dict) -> None:
    """One line a figure."""
    for name, value in result.items():
        print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")


def _show_log() -> None:
    """Our own messages; of TensorFlow's, errors."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("tf_efficientbert")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    absl_logging.set_verbosity(absl_logging.ERROR)


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
