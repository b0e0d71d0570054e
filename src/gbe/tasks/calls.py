"""Task types without Python: a program to run, or an address to POST to, as the configuration says.

Neither goes through a shell, nor follows a redirect; what they answer is read up to a bound.
"""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx
import msgspec

from gbe.errors import InvalidTaskError, TaskError
from gbe.lifecycle.types import TaskType
from gbe.outbound import InternalAddressError, resolve
from gbe.tasks.context import TaskContext
from gbe.tasks.runner import DoNotRetryError

MOST_ANSWER: Final = 1024 * 1024
_PLACE: Final = re.compile(r"\{([^{}]+)\}")
_MOST_STDERR: Final = 16 * 1024
_TAIL: Final = 500
_PATIENCE: Final = httpx.Timeout(None, connect=10.0)  # the step timeout bounds the rest
_MAY_PASS: Final = frozenset({408, 425, 429})


class CallError(TaskError):
    """A program or an address that did not do what it should; the attempt has failed."""


class _Call:
    """What a worker needs of a function, for parameters that are any JSON object."""

    is_async = True
    takes_context = True

    def __init__(self, name: str) -> None:
        self.name = name

    def decode_params(self, params: bytes) -> dict[str, Any]:
        """The parameters, as one argument."""
        try:
            return {"params": msgspec.json.decode(params, type=dict[str, Any])}
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise InvalidTaskError(f"task {self.name}", "", str(exc)) from None

    def encode_result(self, result: object) -> bytes:
        """An answer as JSON: as it is if it is JSON, else as text."""
        answer = result if isinstance(result, bytes) else b""
        try:
            return msgspec.json.encode(msgspec.json.decode(answer)) if answer.strip() else b"null"
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return msgspec.json.encode(answer.decode(errors="replace").rstrip("\n"))


class CommandCall(_Call):
    """Runs a program: the parameters are its words' ``{name}`` and, as JSON, its standard input."""

    def __init__(self, name: str, words: Sequence[str]) -> None:
        super().__init__(name)
        self._words = tuple(words)

    async def function(self, ctx: TaskContext, params: dict[str, Any]) -> bytes:
        """What the program writes; raises ``CallError`` with the end of its complaints if it fails."""
        words = [_filled(word, params) for word in self._words]
        environment = {**os.environ, "GBE_TASK_ID": ctx.task_id, "GBE_TASK_ATTEMPT": str(ctx.attempt)}
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as exc:
            raise DoNotRetryError(f"{words[0]} cannot be started: {exc}") from None
        try:
            return await self._talk(process, msgspec.json.encode(params))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it has started goes with it
            await process.wait()

    async def _talk(self, process: asyncio.subprocess.Process, given: bytes) -> bytes:
        assert process.stdin is not None  # noqa: S101  asked for, all three
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101

        async def write(stream: asyncio.StreamWriter) -> None:
            # a program need not read what it is given, and may have ended already: uvloop refuses to write then
            if not stream.transport.is_closing():
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    stream.write(given)
                    await stream.drain()
            stream.close()

        _, out, err = await asyncio.gather(
            write(process.stdin), _read(process.stdout, MOST_ANSWER + 1), _read(process.stderr, _MOST_STDERR)
        )
        if len(out) > MOST_ANSWER:
            raise DoNotRetryError(f"{self._words[0]} wrote more than {MOST_ANSWER} bytes")
        code = await process.wait()
        if code != 0:
            said = err.decode(errors="replace").strip()[-_TAIL:]
            raise CallError(f"{self._words[0]} ended with {code}: {said}" if said else f"it ended with {code}")
        return out


async def _read(stream: asyncio.StreamReader, most: int) -> bytes:
    """All of a stream, of which the first ``most`` bytes are kept."""
    parts: list[bytes] = []
    size = 0
    while part := await stream.read(65_536):
        if size < most:
            parts.append(part[: most - size])
            size += len(parts[-1])
    return b"".join(parts)


def _filled(word: str, params: Mapping[str, Any]) -> str:
    """A word with the parameters in place of ``{name}``.

    Raises:
        InvalidTaskError: a parameter is missing, or would be taken for an option.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in params:
            if match[0] != word:
                return match[0]  # braces of its own
            raise InvalidTaskError("task", name[:80], "missing")
        given = params[name]
        text = given if isinstance(given, str) else msgspec.json.encode(given).decode()
        if "\0" in text or (match.start() == 0 and text.startswith("-")):
            raise InvalidTaskError("task", name, "cannot be a word of a command: it would be taken for an option")
        return text

    return _PLACE.sub(value, word)  # in one go: what a parameter brings is not filled in again


class HttpCall(_Call):
    """POSTs the parameters as JSON; an answer of 2xx is the result.

    Args:
        allow_internal: whether the address may lie in a private network or on this machine.
    """

    def __init__(self, name: str, url: str, *, allow_internal: bool) -> None:
        super().__init__(name)
        self._url, self._allow_internal = httpx.URL(url), allow_internal

    async def function(self, ctx: TaskContext, params: dict[str, Any]) -> bytes:
        """The body of the answer.

        Raises:
            DoNotRetryError: an internal address, or an answer of 4xx.
            CallError: anything else that is not 2xx.
        """
        host = self._url.host
        address = await self._address(host)
        headers = {
            "Host": self._url.netloc.decode(),
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "Gbe-Task-Id": ctx.task_id,
            "Gbe-Task-Attempt": str(ctx.attempt),
        }
        # to the address that was checked, whatever the name resolves to a moment later
        async with (
            httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=_PATIENCE) as client,
            client.stream(
                "POST",
                self._url.copy_with(host=address),
                content=msgspec.json.encode(params),
                headers=headers,
                extensions={"sni_hostname": host},
            ) as response,
        ):
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                # a few kilobytes may stand for gigabytes
                raise DoNotRetryError(f"{host} answered in an encoding that was not asked for")
            body = b""
            async for part in response.aiter_raw():
                body += part
                if len(body) > MOST_ANSWER:
                    raise DoNotRetryError(f"{host} answered with more than {MOST_ANSWER} bytes")
        if response.is_success:
            return body
        said = f"{host} answered with {response.status_code}: {body[:_TAIL].decode(errors='replace')}"
        if response.is_server_error or response.status_code in _MAY_PASS:
            raise CallError(said)
        raise DoNotRetryError(said)

    async def _address(self, host: str) -> str:
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        try:
            return await resolve(host, port, allow_internal=self._allow_internal)
        except InternalAddressError:
            raise DoNotRetryError(f"{host} is an internal address; worker.allow_internal_http allows it") from None
        except OSError as exc:
            raise CallError(f"{host} is not known: {exc}") from None


def call_of(name: str, task_type: TaskType, *, allow_internal: bool) -> "CommandCall | HttpCall | None":
    """The call that a type is configured as; ``None`` for a function's."""
    if task_type.command is not None:
        return CommandCall(name, task_type.command)
    if task_type.http is not None:
        return HttpCall(name, task_type.http, allow_internal=allow_internal)
    return None
