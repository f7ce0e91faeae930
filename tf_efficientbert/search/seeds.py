"""Seeds that follow from what they are for, so that a resumed run draws the same."""

import random


def seed_of(*parts) -> int:
    """A seed of 31 bits, the same for the same `parts` in every process."""
    return random.Random("/".join(map(str, parts))).getrandbits(31)
