"""Runs a function as a command-line program, with flags from a dataclass of options."""

import dataclasses
import logging
import sys
import textwrap
from collections.abc import Callable

from absl import app, flags

from tf_efficientbert.errors import UserError
from tf_efficientbert.printing import discard_output, print_text

_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    # None without a value.
    bool | None: flags.DEFINE_bool,
    int | None: flags.DEFINE_integer,
    float | None: flags.DEFINE_float,
}


_HELP = ("-h", "--help", "--helpshort", "--helpfull")


def run_command(
    options_class: type,
    command: Callable[[object], int | None],
    when_interrupted: str = "interrupted",
) -> None:
    """Parses flags into `options_class`, calls `command` and exits with the status it returns.

    Every field of the dataclass becomes a flag of the same name, type and default. A UserError is
    printed without a traceback and ends the process with status 1. Ctrl-C prints
    `when_interrupted`, also with status 1. `--help` prints the program's docstring and its flags.
    """
    if any(argument in _HELP for argument in sys.argv[1:]):
        print_text(_help(options_class))
        return
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
        except BrokenPipeError:
            discard_output()
            return
        sys.exit(status or 0)

    app.run(main, flags_parser=_parsed)


def _parsed(arguments: list[str]) -> list[str]:
    """Parses the flags; returns the remaining arguments."""
    try:
        return flags.FLAGS(arguments)
    except flags.Error as error:
        _fail(f"{error}; --help lists the flags")


def _help(options_class: type) -> str:
    """Returns the program's docstring and a paragraph for each flag."""
    parts = [(sys.modules["__main__"].__doc__ or "").strip(), "Flags:"]
    for field in dataclasses.fields(options_class):
        default = "" if field.default in ("", None) else f" (default: {str(field.default).lower()})"
        about = f"{field.metadata['help']}{default}"
        parts.append(
            f"  --{'[no]' if field.type in (bool, bool | None) else ''}{field.name}\n"
            + textwrap.fill(about, 80, initial_indent=" " * 6, subsequent_indent=" " * 6)
        )
    return "\n\n".join(parts[:2]) + "\n" + "\n".join(parts[2:])


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
