"""What is known of task types: their functions here, the configuration, and what operators have set at run time.

A worker writes down the types that it has, with the schema of their parameters, so that others can check a submit. An
operator's settings are a record of each type too; workers follow its changes.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from gbe.errors import ConfigError, InvalidTaskError, StateUnavailableError, UnknownTaskTypeError
from gbe.lifecycle.configured import Configured
from gbe.lifecycle.names import TaskNames
from gbe.lifecycle.registered import FUNCTION, PAUSED, SCHEMA, SETTINGS, Registered, Settings, as_mapping, compose
from gbe.lifecycle.schema import mismatch
from gbe.lifecycle.types import TaskType, check_type_name
from gbe.state.base import Changed, StateStore
from gbe.tasks.functions import TaskFunction

logger = logging.getLogger(__name__)

_PAUSE: Final = 1.0


class TypeRegistry:
    """The types as one process sees them.

    Args:
        state: where the records of types are.
        names: of the namespace.
        configured: the ``tasks:`` section, by type; changes of a ``Configured`` are followed.
        functions: of this program.
    """

    def __init__(
        self,
        state: StateStore,
        names: TaskNames,
        configured: Mapping[str, Settings],
        functions: Mapping[str, TaskFunction],
    ) -> None:
        self._state, self._names = state, names
        self._configured, self.functions = configured, functions
        self._registered: dict[str, Registered] = {}
        self._effective: dict[str, TaskType] = {}
        self._listeners: list[Callable[[str], None]] = []
        if isinstance(configured, Configured):
            configured.follow(self._check_configured, self._on_configured)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Call with the name of each type that changes: in the configuration, or in the store while ``follow`` runs."""
        self._listeners.append(listener)

    def local(self) -> list[str]:
        """The types that this program can run: its functions, and the calls that are configured."""
        calls = [name for name in self._configured if self.effective(name).command or self.effective(name).http]
        return sorted({*self.functions, *calls})

    def effective(self, name: str) -> TaskType:
        """The settings that count, as far as they are known here."""
        found = self._effective.get(name)
        if found is None:
            found = self._effective[name] = self._compose(name)
        return found

    def _compose(self, name: str) -> TaskType:
        return self._composed(name, self._configured)

    def _composed(self, name: str, configured: Mapping[str, Settings]) -> TaskType:
        function = self.functions.get(name)
        defaults = None if function is None else function.defaults
        return compose(name, configured.get(name, {}), self._registered.get(name), defaults)

    def _check_configured(self, configured: Mapping[str, Settings]) -> None:
        for name in configured:
            self._composed(name, configured)

    def _on_configured(self, names: frozenset[str]) -> None:
        for name in names:
            self._changed(name)

    def _changed(self, name: str) -> None:
        self._effective.pop(name, None)
        for listener in self._listeners:
            listener(name)

    # -- the store

    async def look_up(self, name: str) -> TaskType:
        """The settings of a type that may be another program's; asks the store unless it is known.

        Raises:
            UnknownTaskTypeError: nobody has it.
        """
        if name in self.functions or name in self._configured:
            return self.effective(name)
        try:
            check_type_name(name)
        except ConfigError:
            raise UnknownTaskTypeError(name) from None
        await self.refresh(name)
        if name not in self._registered:
            raise UnknownTaskTypeError(name)
        return self.effective(name)

    async def refresh(self, name: str) -> None:
        """Read what the store knows of a type."""
        self._learn(name, await self._state.get(self._names.type(name)))

    async def refresh_all(self) -> list[str]:
        """Read every type; the names of all there are."""
        async for record in self._state.scan(self._names.types_prefix):
            self._learn(record.key.rpartition(".")[2], record.fields)
        return sorted({*self._registered, *self._configured, *self.functions})

    def check_params(self, name: str, params: bytes) -> bytes:
        """Check parameters in JSON, by the function or by the schema that a worker has left; returns them.

        Raises:
            InvalidTaskError: names the field.
        """
        function = self.functions.get(name)
        if function is not None:
            function.decode_params(params)
            return params
        try:
            value = msgspec.json.decode(params)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise InvalidTaskError(f"task {name}", "", f"the parameters are not JSON: {exc}") from None
        if not isinstance(value, dict):
            raise InvalidTaskError(f"task {name}", "", "the parameters are a JSON object, name to value")
        registered = self._registered.get(name)
        wrong = None if registered is None else mismatch(value, registered.schema)
        if wrong is not None:
            raise InvalidTaskError(f"task {name}", *wrong)
        return params

    def schema_of(self, name: str) -> Mapping[str, Any]:
        """JSON Schema of a type's parameters, as far as it is known."""
        function, registered = self.functions.get(name), self._registered.get(name)
        if function is not None:
            return as_mapping(function.schema())
        return {} if registered is None else registered.schema

    async def announce(self, names: list[str]) -> None:
        """Write down the types that this program has: what its functions say, and what is configured as a call."""
        for name in names:
            function = self.functions.get(name)
            defaults = compose(name, self._configured.get(name, {}), None) if function is None else function.defaults
            changes: dict[str, bytes | None] = {FUNCTION: msgspec.json.encode(defaults.settings())}
            if function is not None:
                changes[SCHEMA] = function.schema()
            await self._state.set_fields(self._names.type(name), changes)
            await self.refresh(name)

    async def is_written(self, name: str) -> bool:
        """Whether the store knows of a type what a worker writes down. Raises ``StateError``."""
        await self.refresh(name)
        registered = self._registered.get(name)
        return registered is not None and bool(registered.function)

    async def set(self, name: str, settings: Settings) -> TaskType:
        """Change settings of a type for all workers, while they run; ``None`` takes a setting back.

        Raises:
            UnknownTaskTypeError, InvalidTaskError, ConfigError: nothing was written.
        """
        for forbidden in ("command", "http"):
            if forbidden in settings:  # what a worker runs is for those to say who configure it
                raise InvalidTaskError(f"type {name}", forbidden, "can be set in the configuration only")
        await self.look_up(name)
        await self.refresh(name)
        registered = self._registered.get(name)
        merged = {**(registered.settings if registered else {}), **settings}
        merged = {key.replace("-", "_"): value for key, value in merged.items() if value is not None}
        TaskType().changed({k: v for k, v in settings.items() if v is not None}, source=f"type {name}")
        self._compose(name).changed(merged, source=f"type {name}")
        await self._state.set_fields(self._names.type(name), {SETTINGS: msgspec.json.encode(merged)})
        await self.refresh(name)
        return self.effective(name)

    async def pause(self, name: str, *, paused: bool) -> None:
        """Start nothing of this type until it is resumed. Raises ``UnknownTaskTypeError``."""
        await self.look_up(name)
        await self._state.set_fields(self._names.type(name), {PAUSED: b"1" if paused else b"0"})
        await self.refresh(name)

    async def follow(self) -> None:
        """Learn of every change, until cancelled."""
        while True:
            try:
                async with self._state.watch(self._names.types_prefix) as changes:
                    await self.refresh_all()
                    async for event in changes:
                        if isinstance(event, Changed):
                            self._learn(event.key.rpartition(".")[2], event.fields)
                        else:
                            await self.refresh_all()
                return
            except StateUnavailableError as exc:
                logger.warning("changes of task types are not seen: %s", exc)
                await asyncio.sleep(_PAUSE)

    def _learn(self, name: str, fields: Mapping[str, bytes] | None) -> None:
        before = self._registered.get(name)
        if fields is None:
            self._registered.pop(name, None)
        else:
            self._registered[name] = Registered.from_fields(fields)
        if self._registered.get(name) != before:
            self._changed(name)
