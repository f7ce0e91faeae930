"""A child network starts from slices of a warm parent (Dong et al. 2021, section 3.3)."""

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.models.efficientbert import EfficientBert
from tf_efficientbert.models.task_model import TaskModel
from tf_efficientbert.tasks import Task


def new_student(
    architecture: Architecture,
    supernet: EfficientBert | TaskModel,
    task: Task,
    dropout: float,
    dtype: str = "float32",
) -> TaskModel:
    """A network of `architecture` that starts from `supernet`'s weights.

    Its head is fresh under a bare supernet; of one that was trained on the same task it is the
    supernet's, pooler included, cut like the rest.

    Raises:
        ValueError: see `inherit`.
    """
    trained = isinstance(supernet, TaskModel)
    parent = supernet.backbone if trained else supernet
    backbone = EfficientBert(
        architecture,
        vocabulary_size=parent.vocabulary_size,
        max_positions=parent.max_positions,
        fit_size=parent.fit_size,
        dropout=dropout,
        dtype=dtype,
    )
    inherit(backbone, parent)
    student = TaskModel(backbone, task.new_head(architecture.hidden_size, dropout, dtype=dtype))
    if trained:
        for _, target, source in _layer_pairs(student.head, supernet.head):
            _assign_cut(target, source)
    return student


def inherit(child: EfficientBert, parent: EfficientBert) -> None:
    """Copies `parent`'s weights into `child`, cut to the child's size.

    The j-th stacked network takes the parent's j-th and of it the first inner channels; a narrower
    child takes the first channels of every hidden dimension, straight across the attention heads;
    in a child of k times as many layers, layers k*i to k*i + k - 1 all start as layer i. The token
    table is taken whole.

    Raises:
        ValueError: the child is larger than the parent somewhere, has another embedding, or its
            layers are no multiple of the parent's. Nothing has been assigned then.
    """
    pairs = list(_pairs(child, parent))
    for name, target, source in pairs:
        if any(small > large for small, large in zip(target.shape, source.shape, strict=True)):
            raise ValueError(
                f"{name} of shape {tuple(target.shape)} cannot be cut out of {tuple(source.shape)}"
            )
    for _, target, source in pairs:
        _assign_cut(target, source)


def _assign_cut(target, source) -> None:
    target.assign(source[tuple(slice(size) for size in target.shape)])


def _pairs(child: EfficientBert, parent: EfficientBert):
    """(name, child variable, parent variable) for everything that is inherited."""
    theirs, ours = parent.architecture, child.architecture
    for field in ("embedding", "embedding_size") if ours.embedding == "trigram" else ("embedding",):
        if getattr(ours, field) != getattr(theirs, field):
            raise ValueError(
                f"{field} differs: child {getattr(ours, field)}, parent {getattr(theirs, field)}"
            )
    if child.vocabulary_size != parent.vocabulary_size:
        raise ValueError(
            f"vocabulary_size differs: child {child.vocabulary_size}, "
            f"parent {parent.vocabulary_size}; the token table is taken whole"
        )
    times, rest = divmod(ours.num_layers, theirs.num_layers)
    if rest:
        raise ValueError(
            f"{ours.num_layers} layers are no multiple of the parent's {theirs.num_layers}"
        )
    yield from _layer_pairs(child.embedding, parent.embedding)
    for i in range(ours.num_layers):
        yield from _layer_pairs(child.attentions[i], parent.attentions[i // times])
        child_stack = child.cells[i].feed_forwards
        parent_stack = parent.cells[i // times].feed_forwards
        if len(child_stack) > len(parent_stack):
            raise ValueError(
                f"layer {i + 1} stacks {len(child_stack)} networks, the parent {len(parent_stack)}"
            )
        for child_ffn, parent_ffn in zip(child_stack, parent_stack, strict=False):
            yield from _layer_pairs(child_ffn, parent_ffn)
    if child.fit_projection:
        if not parent.fit_projection:
            raise ValueError("the child has a fit projection and the parent has none")
        yield from _layer_pairs(child.fit_projection, parent.fit_projection)


def _layer_pairs(child, parent):
    for target, source in zip(child.weights, parent.weights, strict=True):
        yield target.path, target, source
