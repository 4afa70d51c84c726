"""How often a test repeats itself: a few times in `make test`, all times in `make test-long`."""

import os

LONG = "PHOTOQUAL_TEST_LONG"


def times(short: int, long: int) -> int:
    """Return `long` when the environment asks for the long tests, else `short`."""
    return long if os.environ.get(LONG) else short
