"""Maps student layers to the teacher layers that they learn from."""

__all__ = ["LAYER_MAPS", "layer_map"]

LAYER_MAPS = ("uniform", "last", "skip")


def layer_map(
    teacher_layers: int, student_layers: int, kind: str = "uniform"
) -> tuple[int | None, ...]:
    """Returns the teacher layer of each student layer, both 0-based.

    Args:
        kind:
            "uniform": student layer i learns from teacher layer ceil((i + 1) x teacher / student)
                - 1, and so the last from the last. TinyBERT's map, which the paper keeps.
            "last": from the teacher's last layers, in order (PKD-Last of Sun et al. 2019, Patient
                Knowledge Distillation, arXiv 1908.09355, but with the last layer).
            "skip": as "uniform" but rounded down, and the last student layer learns from none:
                predictions teach it (PKD-Skip of the same paper).

    Returns: one layer, or None, per student layer.

    Raises:
        ValueError: the kind is unknown; a number of layers is below 1; or, for other kinds than
            "uniform", the teacher has fewer layers than the student; "skip" of a single layer.
    """
    if kind not in LAYER_MAPS:
        raise ValueError(f"unknown layer map {kind!r}: expected one of {', '.join(LAYER_MAPS)}")
    if teacher_layers < 1 or student_layers < 1:
        raise ValueError(f"layers must be positive, but got {teacher_layers} and {student_layers}")
    if kind == "uniform":
        return tuple(
            -(-(i + 1) * teacher_layers // student_layers) - 1 for i in range(student_layers)
        )
    if teacher_layers < student_layers:
        raise ValueError(
            f"the layer map {kind!r} needs a teacher with at least as many layers as the student: "
            f"it has {teacher_layers}, the student {student_layers}"
        )
    if kind == "last":
        return tuple(range(teacher_layers - student_layers, teacher_layers))
    if student_layers == 1:
        raise ValueError(
            "the layer map 'skip' leaves a student of one layer without any to compare"
        )
    mapped = ((i + 1) * teacher_layers // student_layers - 1 for i in range(student_layers - 1))
    return (*mapped, None)
