"""A command line from a dataclass of options: flags, one call, clear failure."""

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


def run_command(
    options_class: type,
    command: Callable[[object], int | None],
    when_interrupted: str = "interrupted",
) -> None:
    """Turns flags into `options_class` and calls `command` with it; it returns the exit status.

    Every field of the dataclass is a flag of the same name, type and default. A UserError is
    printed in one line and ends the process with status 1; so does Ctrl-C, which prints
    `when_interrupted`.
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
            _fail(when_interrupted)
        sys.exit(status or 0)

    app.run(main)


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
