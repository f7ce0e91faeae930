"""The main program of the py_test rules in the BUILD files: runs pytest on the given files."""

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["-p", "no:cacheprovider", *sys.argv[1:]]))
