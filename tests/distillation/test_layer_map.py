import pytest

from tf_efficientbert.distillation.layer_map import layer_map


@pytest.mark.parametrize(
    ("teacher", "student", "expected"),
    [
        (6, 3, (1, 3, 5)),
        (12, 6, (1, 3, 5, 7, 9, 11)),
        (12, 12, tuple(range(12))),
        (24, 6, (3, 7, 11, 15, 19, 23)),
        (1, 1, (0,)),
        (12, 1, (11,)),
        # Not divisible: ceil((i + 1) x teacher / student) - 1.
        (12, 5, (2, 4, 7, 9, 11)),
        (6, 4, (1, 2, 4, 5)),
        # A deeper student learns from a layer more than once.
        (6, 12, (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5)),
        (2, 3, (0, 1, 1)),
    ],
)
def test_student_layers_learn_from_these_teacher_layers(teacher, student, expected):
    assert layer_map(teacher, student) == expected


@pytest.mark.parametrize("teacher", range(1, 25))
@pytest.mark.parametrize("student", [1, 3, 6, 7, 12])
def test_the_map_is_increasing_and_ends_with_the_last_layer(teacher, student):
    chosen = layer_map(teacher, student)
    assert len(chosen) == student
    assert list(chosen) == sorted(chosen)
    assert chosen[0] >= 0
    assert chosen[-1] == teacher - 1


@pytest.mark.parametrize("layers", [(0, 3), (6, 0), (-1, 3)])
def test_fewer_than_one_layer_is_rejected(layers):
    with pytest.raises(ValueError, match=f"must be positive, but got {layers[0]} and {layers[1]}"):
        layer_map(*layers)
