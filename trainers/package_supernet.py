"""Writes a supernet as it comes with this package: weights in float16 and the tokenizer.

Example:
    tf-efficientbert package_supernet --supernet=runs/supernet/model \
        --output_dir=tf_efficientbert/models/pretrained
"""

import dataclasses
from pathlib import Path

from tf_efficientbert.errors import UserError
from tf_efficientbert.models.pretrained_supernet import (
    average_supernets,
    load_supernet,
    package_supernet,
    require_supernet,
)
from tf_efficientbert.options import option
from trainers.job import print_figures, run_job


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackageSupernetOptions:
    """Options of the job."""

    supernet: str = option("", "folder that pretrain_supernet made: …/model; A,B averages several")
    output_dir: str = option("", "folder to write")


def package(options: PackageSupernetOptions) -> dict:
    """Writes the supernet; returns {"sha256": of its weights' file}."""
    if not options.supernet or not options.output_dir:
        raise UserError("set --supernet and --output_dir")
    names = options.supernet.split(",")
    if len(set(names)) < len(names) or not all(names):
        raise UserError(f"--supernet={options.supernet}: expected different folders a,b")
    supernets = {name: load_supernet(name) for name in names}
    for name, supernet in supernets.items():
        require_supernet(supernet, f"--supernet={name}")
    folder = Path(options.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return {"sha256": package_supernet(average_supernets(supernets), folder)}


if __name__ == "__main__":
    run_job(PackageSupernetOptions, package, print_figures)
