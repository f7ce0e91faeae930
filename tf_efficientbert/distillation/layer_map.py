"""Maps student layers to the teacher layers that they learn from."""


def layer_map(teacher_layers: int, student_layers: int) -> tuple[int, ...]:
    """Returns the teacher layer of each student layer, both 0-based.

    Student layer i learns from teacher layer ceil((i + 1) x teacher / student) - 1, and so the last
    from the last. This is TinyBERT's uniform map, which the paper keeps.

    Raises:
        ValueError: a number of layers is below 1.
    """
    if teacher_layers < 1 or student_layers < 1:
        raise ValueError(f"layers must be positive, but got {teacher_layers} and {student_layers}")
    return tuple(-(-(i + 1) * teacher_layers // student_layers) - 1 for i in range(student_layers))
