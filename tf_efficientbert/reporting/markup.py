"""Builds HTML; every text is escaped unless it is `Markup`."""

import html
from collections.abc import Iterable

_VOID = ("meta", "wbr")


class Markup(str):
    """Text that is HTML and is not escaped again."""

    __slots__ = ()


Child = str | Iterable["Child"] | None


def join(children: Iterable[Child]) -> Markup:
    """Concatenates the children as HTML; None is left out."""
    return Markup("".join(_rendered(child) for child in children))


def element(tag: str, /, *children: Child, **attributes: str | bool | None) -> Markup:
    """Returns an HTML element.

    Args:
        tag: its name.
        children: texts (escaped), `Markup`, or lists of them; None is left out.
        attributes: names with `_` for `-`, and a trailing `_` for Python keywords (`class_`). None
            and False are left out, True gives an attribute without a value.
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
    # JSON may contain lone surrogates, which UTF-8 cannot encode.
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"))
