"""Seeds derived from their purpose, so that a resumed run draws the same values."""

import random


def seed_of(*parts) -> int:
    """Returns a 31-bit seed that is the same for equal `parts` in every process."""
    return random.Random("/".join(map(str, parts))).getrandbits(31)
