"""Networks, losses, sources of labelled images and commands by name: bonescan's own and those of plug-ins.

A plug-in is a package that states entry points in groups named `bonescan.<what>`; it is imported when it is asked for.
Nothing else imports it, so everything else works without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

_MOST_NAMED = 4
"""As many entries of a returned tuple or list are described; a network's answer has no more."""


class Registry(Mapping[str, T], Generic[T]):
    """By name: bonescan's own, then those of plug-ins, which are searched once and imported on first use.

    group: of the entry points. own: stands first, and a plug-in cannot replace it. check: called with the `origin` and
    the value of a plug-in; returns the value that is used, or raises.
    """

    def __init__(
        self, group: str, own: Mapping[str, T] | None = None, check: Callable[[str, Any], T] | None = None
    ) -> None:
        self._group = group
        self._own = dict(own or {})
        self._check = check
        self._added: dict[str, EntryPoint] | None = None

    def __getitem__(self, name: str) -> T:
        """Raises KeyError for an unknown name, and what importing or checking the plug-in raises."""
        if name in self._own:
            return self._own[name]
        value = self._plugged[name].load()
        return cast(T, value) if self._check is None else self._check(self.origin(name), value)

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from (name for name in self._plugged if name not in self._own)

    def __len__(self) -> int:
        return len(set(self._own) | set(self._plugged))

    def __contains__(self, name: Any) -> bool:
        return name in self._own or name in self._plugged

    def origin(self, name: str) -> str:
        """The name, and where a plug-in has it from, for messages: "mine (plug-in package.module:NAME)"."""
        return name if name in self._own else f"{name} (plug-in {self._plugged[name].value})"

    @property
    def _plugged(self) -> dict[str, EntryPoint]:
        if self._added is None:
            self._added = {point.name: point for point in entry_points(group=self._group) if _is_there(point)}
        return self._added


def _is_there(point: EntryPoint) -> bool:
    """Whether the plug-in's package can be imported: it may have been taken away since it was installed."""
    try:
        return find_spec(point.module.rpartition(".")[0] or point.module) is not None
    except (ImportError, ValueError):
        return False


def described(value: Any) -> str:
    """What a plug-in returned, in words: None, a type, a type with its shape, or a tuple or list with its entries."""
    if value is None:
        return "None"
    name = type(value).__name__
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"a {name} of shape {' x '.join(map(str, shape)) or '()'}"
    if isinstance(value, (tuple, list)):
        return f"a {name} of {', '.join(map(described, value[:_MOST_NAMED])) or 'nothing'}"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
