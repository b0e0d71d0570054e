"""The ``tasks:`` section of the configuration, which may be read again while everything runs."""

from collections.abc import Callable, Iterator, Mapping
from typing import Self

from gbe.lifecycle.registered import Settings

Tables = Mapping[str, Settings]
Check = Callable[[Tables], None]
"""Raises ``ConfigError`` if these settings cannot be used here."""
OnChange = Callable[[frozenset[str]], None]
"""Is told which types are new, changed or gone."""


class Configured(Mapping[str, Settings]):
    """The settings of every configured type, by name, as they are now.

    Whoever holds it sees what ``replace`` brings; whoever keeps something that was made of it asks to be told.
    """

    def __init__(self, tables: Tables | None = None) -> None:
        self._tables = dict(tables or {})
        self._followers: list[tuple[Check, OnChange]] = []

    def __getitem__(self, name: str) -> Settings:
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __reduce__(self) -> "tuple[type[Self], tuple[dict[str, Settings]]]":
        return type(self), (self._tables,)  # in another process nobody follows yet

    def follow(self, check: Check, on_change: OnChange) -> None:
        """Be asked before a change, and told after it."""
        self._followers.append((check, on_change))

    def replace(self, tables: Tables) -> frozenset[str]:
        """Take these settings from now on; returns which types are new, changed or gone.

        Raises:
            ConfigError: somebody cannot use them; everything stays as it is.
        """
        changed = frozenset(name for name in {*self, *tables} if self.get(name) != tables.get(name))
        if not changed:
            return changed
        for check, _ in self._followers:
            check(tables)
        self._tables = dict(tables)
        for _, on_change in self._followers:
            on_change(changed)
        return changed
