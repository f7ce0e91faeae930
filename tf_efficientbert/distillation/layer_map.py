"""Which teacher layer each student layer learns from."""


def layer_map(teacher_layers: int, student_layers: int) -> tuple[int, ...]:
    """Teacher layer of each student layer, both 0-based.

    Student layer i learns from teacher layer ceil((i + 1) x teacher / student) - 1, so that the
    last learns from the last (TinyBERT's uniform map, which the paper keeps).

    Raises ValueError for fewer than one layer.
    """
    if teacher_layers < 1 or student_layers < 1:
        raise ValueError(f"layers must be positive, but got {teacher_layers} and {student_layers}")
    return tuple(-(-(i + 1) * teacher_layers // student_layers) - 1 for i in range(student_layers))
