"""A child network inherits slices of a warmed-up parent (Dong et al. 2021, section 3.3)."""

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
    """Returns a network of `architecture` that inherits the weights of `supernet`.

    From a bare encoder, its head is new. From a TaskModel, it inherits the head too, pooler
    included.

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

    The j-th stacked FFN inherits the first inner channels of the parent's j-th. A narrower child
    inherits the first channels of every hidden dimension, regardless of attention heads. If the
    child has k times as many layers, layers k*i to k*i + k - 1 all start as layer i. The token
    table is copied whole.

    Raises:
        ValueError: the child is larger than the parent in some dimension, has another embedding, or
            its number of layers is not a multiple of the parent's. No weight has changed then.
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
    """Yields (name, child variable, parent variable) for all inherited weights."""
    wanted, source = child.architecture, parent.architecture
    fields = ("embedding", "embedding_size") if wanted.embedding == "trigram" else ("embedding",)
    for field in fields:
        if getattr(wanted, field) != getattr(source, field):
            raise ValueError(
                f"{field} differs: child {getattr(wanted, field)}, parent {getattr(source, field)}"
            )
    if child.vocabulary_size != parent.vocabulary_size:
        raise ValueError(
            f"vocabulary_size differs: child {child.vocabulary_size}, "
            f"parent {parent.vocabulary_size}; the token table is copied whole"
        )
    times, rest = divmod(wanted.num_layers, source.num_layers)
    if rest:
        raise ValueError(
            f"{wanted.num_layers} layers are not a multiple of the parent's {source.num_layers}"
        )
    yield from _layer_pairs(child.embedding, parent.embedding)
    for i in range(wanted.num_layers):
        yield from _layer_pairs(child.attentions[i], parent.attentions[i // times])
        child_stack = child.cells[i].feed_forwards
        parent_stack = parent.cells[i // times].feed_forwards
        if len(child_stack) > len(parent_stack):
            raise ValueError(
                f"layer {i + 1} stacks {len(child_stack)} FFNs, the parent {len(parent_stack)}"
            )
        for child_ffn, parent_ffn in zip(child_stack, parent_stack, strict=False):
            yield from _layer_pairs(child_ffn, parent_ffn)
    if child.fit_projection:
        if not parent.fit_projection:
            raise ValueError("the child has a fit projection, but the parent has none")
        yield from _layer_pairs(child.fit_projection, parent.fit_projection)


def _layer_pairs(child, parent):
    for target, source in zip(child.weights, parent.weights, strict=True):
        yield target.path, target, source
