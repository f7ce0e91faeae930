import numpy as np
import pytest

from tf_efficientbert.data.examples import Examples


def test_the_number_of_examples_is_the_number_of_texts():
    assert len(Examples(("a", "b"), None, None)) == 2


@pytest.mark.parametrize(
    "parts",
    [(("only one",), None), (None, np.zeros(3, np.int32))],
    ids=["second texts", "labels"],
)
def test_examples_of_unequal_parts_are_refused(parts):
    with pytest.raises(ValueError, match="2 texts but [13]"):
        Examples(("a", "b"), *parts)
