"""Prints a script that completes jobs and flags in your shell.

In bash, for the current session or, from ~/.bashrc, for all:

    source <(tf-efficientbert completion --shell=bash)
"""

import argparse
import ast
import dataclasses
import importlib
import inspect

import shtab

from tf_efficientbert.cli import COMMANDS, summary
from tf_efficientbert.command import run_command
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option

_STARTERS = ("run_command", "run_job")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompletionOptions:
    """Options of `print_completion`."""

    shell: str = option("bash", f"one of {', '.join(shtab.SUPPORTED_SHELLS)}")

    def __post_init__(self) -> None:
        if self.shell not in shtab.SUPPORTED_SHELLS:
            expected = ", ".join(shtab.SUPPORTED_SHELLS)
            raise UserError(f"--shell={self.shell}: expected one of {expected}")


def print_completion(options: CompletionOptions) -> None:
    """Prints the completion script of `tf-efficientbert`; the shell reads it, and no job runs."""
    parser = argparse.ArgumentParser("tf-efficientbert", add_help=False, allow_abbrev=False)
    jobs = parser.add_subparsers()
    for name, module in COMMANDS.items():
        job = jobs.add_parser(name, help=summary(module).replace("%", "%%"), add_help=False)
        job.add_argument("--help", action="store_true")
        for field in dataclasses.fields(_options_class(module)):
            _add_flag(job, field)
    print(shtab.complete(parser, options.shell))


def _add_flag(job: argparse.ArgumentParser, field: dataclasses.Field) -> None:
    about = field.metadata["help"].replace("%", "%%")
    if field.type in (bool, bool | None):
        job.add_argument(f"--{field.name}", f"--no{field.name}", action="store_true", help=about)
        return
    flag = job.add_argument(f"--{field.name}", help=about)
    if field.type is str:
        flag.complete = shtab.FILE


def _options_class(module_name: str) -> type:
    """The dataclass that a job's module hands to `run_job` or `run_command`."""
    module = importlib.import_module(module_name)
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in _STARTERS:
            return getattr(module, node.args[0].id)
    raise ValueError(f"{module_name} starts no job")


if __name__ == "__main__":
    run_command(CompletionOptions, print_completion)
