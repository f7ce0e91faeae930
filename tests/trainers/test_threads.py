import os
import subprocess
import sys

import pytest

_NAME = "TF_NUM_INTRAOP_THREADS"


@pytest.mark.parametrize(
    ("cores", "given", "expected"), [(2, {}, "1"), (2, {_NAME: "2"}, "2"), (16, {}, "")]
)
def test_with_few_cores_operations_are_not_split_unless_the_user_says_so(cores, given, expected):
    code = (
        f"import os, sys; os.sched_getaffinity = lambda _: range({cores}); "
        "sys.modules['tensorflow'] = sys; "
        f"import trainers; print(os.environ.get('{_NAME}', ''))"
    )
    environment = {name: value for name, value in os.environ.items() if name != _NAME}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected
