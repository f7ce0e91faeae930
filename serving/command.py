"""Commands of this folder: flags from a dataclass, as trainers/job.py makes them for jobs."""

import dataclasses
import logging
import sys
from collections.abc import Callable

from absl import app, flags

from tf_efficientbert.errors import UserError

flags.disclaim_key_flags()  # they are the command's: --help shows those of the module that is run

_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def run_command(options_class: type, command: Callable[[object], int | None]) -> None:
    """Turns flags into `options_class` and calls `command` with it; it returns the exit status.

    A UserError is printed in one line, with status 1.
    """
    for field in dataclasses.fields(options_class):
        _DEFINE[field.type](field.name, field.default, field.metadata["help"])

    def main(arguments: list[str]) -> None:
        if len(arguments) > 1:
            _fail(f"unexpected argument {arguments[1]!r}: options start with --")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        names = [field.name for field in dataclasses.fields(options_class)]
        try:
            status = command(options_class(**{n: flags.FLAGS[n].value for n in names}))
        except UserError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            _fail("interrupted")
        sys.exit(status or 0)

    app.run(main)


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
