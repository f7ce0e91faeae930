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


@pytest.mark.parametrize(
    ("kind", "teacher", "student", "expected"),
    [
        ("last", 12, 6, (6, 7, 8, 9, 10, 11)),
        ("last", 6, 6, (0, 1, 2, 3, 4, 5)),
        ("last", 12, 1, (11,)),
        # PKD-Skip: layers 2, 4, ... 10 of 12 teach the first five of six.
        ("skip", 12, 6, (1, 3, 5, 7, 9, None)),
        ("skip", 12, 5, (1, 3, 6, 8, None)),
        ("skip", 6, 6, (0, 1, 2, 3, 4, None)),
    ],
)
def test_other_maps_choose_these_teacher_layers(kind, teacher, student, expected):
    assert layer_map(teacher, student, kind) == expected


@pytest.mark.parametrize("kind", ["last", "skip"])
def test_other_maps_need_as_many_teacher_layers_as_student_layers(kind):
    with pytest.raises(ValueError, match=f"{kind}' needs a teacher .* it has 5, the student 6"):
        layer_map(5, 6, kind)


def test_a_single_layer_cannot_be_skipped_and_unknown_maps_are_refused():
    with pytest.raises(ValueError, match="'skip' leaves a student of one layer without any"):
        layer_map(6, 1, "skip")
    with pytest.raises(ValueError, match="unknown layer map 'first': expected one of uniform"):
        layer_map(6, 3, "first")


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
