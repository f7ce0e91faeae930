"""The command `tf-efficientbert`: lists the jobs, or runs one.

tf-efficientbert
tf-efficientbert describe_data --train_file=reviews.csv
"""

import ast
import importlib.util
import runpy
import sys
from collections.abc import Sequence

from tf_efficientbert.printing import print_text

__all__ = ["COMMANDS", "main", "summary"]

# In order of use. Modules are named, not imported: importing TensorFlow takes seconds.
COMMANDS = {
    **{
        job: f"trainers.{job}"
        for job in (
            *("run_pipeline", "describe_data", "fetch_data", "train_teacher", "pretrain_supernet"),
            "package_supernet",
            *("search", "search_report", "distill", "compress", "export_model", "evaluate"),
            "predict",
        )
    },
    "serve": "serving.local_server",
    "ask": "serving.client",
    "load_test": "serving.load_test",
    "web_page": "serving.web.serve",
    "completion": "tf_efficientbert.completion",
}
_HELP = ("-h", "--help", "help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job that the first argument names; returns the exit status.

    Args:
        arguments: command-line arguments without the program's name; default: `sys.argv[1:]`.
    """
    name, *flags = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in _HELP:
        print_text(_listed())
        return 0
    if name not in COMMANDS:
        print(f"error: unknown job {name!r}\n\n{_listed()}", file=sys.stderr)
        return 1
    sys.argv = [name, *flags]
    try:
        runpy.run_module(COMMANDS[name], run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:  # while the job's modules are imported
        print("error: interrupted", file=sys.stderr)
        return 1
    return 0


def _listed() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary(module)}" for name, module in COMMANDS.items()]
    return "\n".join(
        [
            "usage: tf-efficientbert JOB [--flag=value ...]",
            "       tf-efficientbert JOB --help",
            "",
            "Jobs:",
            *lines,
        ]
    )


def summary(module: str) -> str:
    """Returns the first line of a module's docstring without importing the module."""
    parts = module.split(".")
    package = importlib.util.find_spec(parts[0])  # imports nothing
    path = f"{package.submodule_search_locations[0]}/{'/'.join(parts[1:])}.py"
    with open(path, encoding="utf-8") as file:
        return ast.get_docstring(ast.parse(file.read())).partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
