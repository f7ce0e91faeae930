"""HTML as values: every text is escaped unless it is `Markup` already."""

import html
from collections.abc import Iterable

_VOID = ("meta", "wbr")


class Markup(str):
    """Text that is HTML already and goes into a page as it stands."""

    __slots__ = ()


Child = str | Iterable["Child"] | None


def join(children: Iterable[Child]) -> Markup:
    """The children as HTML, one after the other; None is left out."""
    return Markup("".join(_rendered(child) for child in children))


def element(tag: str, /, *children: Child, **attributes: str | bool | None) -> Markup:
    """One HTML element.

    Args:
        tag: its name.
        children: texts (escaped), `Markup`, or lists of them; None is left out.
        attributes: their names with `_` for `-` and one `_` behind a Python keyword (`class_`);
            None and False are left out, True stands without a value.
    """
    start = tag
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        start += f" {key}" if value is True else f' {key}="{_escaped(str(value))}"'
    if tag in _VOID:
        return Markup(f"<{start}>")
    return Markup(f"<{start}>{join(children)}</{tag}>")


def _rendered(child: Child) -> str:
    if child is None or isinstance(child, Markup):
        return child or ""
    return _escaped(child) if isinstance(child, str) else join(child)


def _escaped(text: str) -> str:
    # JSON may hold half a surrogate pair, which no file in UTF-8 can.
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"))
