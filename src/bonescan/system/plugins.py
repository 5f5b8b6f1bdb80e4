"""Networks, losses, sources of labelled images and commands by name: bonescan's own and those of plug-ins.

A plug-in is a package that states entry points in groups named `bonescan.<what>`; it is imported when it is asked for.
Nothing else imports it, so everything else works without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """By name: bonescan's own, then those of plug-ins, which are searched once and imported on first use.

    group: of the entry points. own: stands first, and a plug-in cannot replace it.
    """

    def __init__(self, group: str, own: Mapping[str, T] | None = None) -> None:
        self._group = group
        self._own = dict(own or {})
        self._added: dict[str, EntryPoint] | None = None

    def __getitem__(self, name: str) -> T:
        """Raises KeyError for an unknown name, and what importing the plug-in raises."""
        return self._own[name] if name in self._own else cast(T, self._plugged[name].load())

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from (name for name in self._plugged if name not in self._own)

    def __len__(self) -> int:
        return len(set(self._own) | set(self._plugged))

    def __contains__(self, name: Any) -> bool:
        return name in self._own or name in self._plugged

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
