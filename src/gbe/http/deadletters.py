"""``/v1/deadletters``: what ``gbe deadletters`` does, over HTTP."""

from base64 import b64encode
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gbe.deadletters.letters import DEFAULT_RATE, MOST_LISTED, DeadLetters, RedriveOptions
from gbe.deadletters.moments import parse_moment
from gbe.deadletters.query import LetterFilter, parse_status
from gbe.deadletters.redrive import Outcome
from gbe.errors import InvalidLetterQueryError, LetterConflictError
from gbe.http.api import Endpoint, answer, json_body

_FILTERS: Final = ("domain", "subject", "group", "reason", "fingerprint", "status", "since", "until")
_MOST_SHOWN: Final = 100
_MAX_BODY: Final = 256 * 1024
_LONGEST: Final = 60  # seconds that a request may take for its rate's sake
_API_ACTOR: Final = "api"


class Selection(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which letters: ids, or filters."""

    ids: list[str] | None = None
    domain: str | None = None
    subject: str | None = None
    group: str | None = None
    reason: str | None = None
    fingerprint: str | None = None
    status: str | None = None
    since: int | str | None = None
    until: int | str | None = None
    limit: int = MOST_LISTED

    def wanted(self) -> LetterFilter | list[str]:
        """As the domain wants it. Raises ``InvalidLetterQueryError``."""
        given = [name for name in _FILTERS if getattr(self, name) is not None]
        if self.ids is not None and given:
            raise InvalidLetterQueryError(given[0], "give ids or filters, not both")
        if not 1 <= self.limit <= MOST_LISTED:
            raise InvalidLetterQueryError("limit", f"{self.limit}; expected 1 to {MOST_LISTED}")
        return self.ids if self.ids is not None else _filter({name: getattr(self, name) for name in given})


class Redriving(Selection, forbid_unknown_fields=True, kw_only=True):
    """The body of a redrive."""

    to: str | None = None
    rate: float = DEFAULT_RATE
    dry_run: bool = False


_Body = TypeVar("_Body", bound=Selection)

_redrives: Final = msgspec.json.Decoder(Redriving)
_discards: Final = msgspec.json.Decoder(Selection)


def deadletter_endpoints(letters: DeadLetters) -> list[Endpoint]:
    """The endpoints, documented in ``openapi_deadletters``."""
    here = _DeadLetters(letters)
    return [
        Endpoint("GET", "/v1/deadletters", here.list),
        Endpoint("GET", "/v1/deadletters/groups", here.groups),
        Endpoint("POST", "/v1/deadletters/redrive", here.redrive),
        Endpoint("POST", "/v1/deadletters/discard", here.discard),
        Endpoint("GET", "/v1/deadletters/{id}", here.show),
    ]


class _DeadLetters:
    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters

    async def list(self, request: Request) -> Response:
        query = _checked(request, {*_FILTERS, "limit", "cursor"})
        limit = query.pop("limit", "100")
        cursor = query.pop("cursor", None)
        if not (limit.isascii() and limit.isdigit() and len(limit) < 6):
            raise InvalidLetterQueryError("limit", "expected a whole number")
        page = await self._letters.page(_filter(query), limit=int(limit), cursor=cursor)
        return answer(200, {"letters": [letter.as_document() for letter in page.letters], "cursor": page.cursor})

    async def groups(self, request: Request) -> Response:
        groups = await self._letters.groups(_filter(_checked(request, set(_FILTERS))))
        return answer(200, {"groups": groups})

    async def show(self, request: Request) -> Response:
        record = await self._letters.get(request.path_params["id"])
        document = record.as_document()
        try:
            original = await self._letters.original_of(record)
        except LetterConflictError as exc:
            return answer(200, {**document, "original_missing": str(exc)})
        shown = {
            "id": original.id,
            "subject": original.subject,
            "timestamp": original.timestamp,
            "traceparent": original.traceparent,
            "payload": b64encode(original.payload).decode(),
        }
        return answer(200, {**document, "original": shown})

    async def redrive(self, request: Request) -> Response:
        given = _decoded(_redrives, await json_body(request, limit=_MAX_BODY))
        wanted = given.wanted()
        options = RedriveOptions(to=given.to, rate=given.rate, limit=given.limit, actor=_API_ACTOR)
        if given.limit / given.rate > _LONGEST:
            raise InvalidLetterQueryError(
                "rate", f"{given.limit} letters would take over {_LONGEST} s; lower the limit, and ask again"
            )
        if given.dry_run:
            return answer(200, {"dry_run": True, "count": await self._letters.count(wanted)})
        tally = _Tally()
        async for outcome in self._letters.redrive(wanted, options):
            tally.add(outcome)
        return answer(200, tally.as_document())

    async def discard(self, request: Request) -> Response:
        given = _decoded(_discards, await json_body(request, limit=_MAX_BODY))
        tally = _Tally()
        async for outcome in self._letters.discard(given.wanted(), actor=_API_ACTOR, limit=given.limit):
            tally.add(outcome)
        return answer(200, tally.as_document())


class _Tally:
    """What became of the letters of one request: counts, and the first outcomes that were not as wished."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(("redriven", "discarded", "skipped", "failed"), 0)
        self._problems: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """One more."""
        self._counts[outcome.result] += 1
        if outcome.error is not None and len(self._problems) < _MOST_SHOWN:
            self._problems.append(outcome)

    def as_document(self) -> dict[str, object]:
        """As JSON."""
        return {**self._counts, "problems": self._problems}


def _decoded(decoder: "msgspec.json.Decoder[_Body]", body: bytes) -> "_Body":
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidLetterQueryError("body", f"not what is expected: {exc}") from None


def _checked(request: Request, known: set[str]) -> dict[str, str]:
    query = dict(request.query_params)
    for name in query:
        if name not in known:
            raise InvalidLetterQueryError(name[:40], f"no such filter; there are {', '.join(sorted(known))}")
    return query


def _filter(given: "dict[str, str]") -> LetterFilter:
    return LetterFilter(
        domain=given.get("domain"),
        subject=given.get("subject"),
        group=given.get("group"),
        reason=given.get("reason"),
        fingerprint=given.get("fingerprint"),
        status=parse_status(given.get("status")),
        since=parse_moment("since", given.get("since")),
        until=parse_moment("until", given.get("until")),
    )
