"""Paths and URLs, as text."""

import posixpath
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from gbe.errors import TemplateFailedError
from gbe.templates.functions.conversions import text_of
from gbe.templates.functions.signature import Function
from gbe.templates.limits import Budget
from gbe.templates.nodes import Value


def _base(path: str) -> str:
    if not path:
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"


def _dir(path: str) -> str:
    return _clean(path.rpartition("/")[0] + "/") if "/" in path else "."


def _ext(path: str) -> str:
    name = path.rpartition("/")[2]
    return "." + name.rpartition(".")[2] if "." in name else ""


def _clean(path: str) -> str:
    cleaned = posixpath.normpath(path) if path else "."
    return "/" + cleaned.lstrip("/") if cleaned.startswith("/") else cleaned


def _url_parse(text: str) -> dict[str, Value]:
    try:
        parts = urlsplit(text)
        hostname = parts.hostname or ""
    except ValueError as exc:
        raise TemplateFailedError(f"urlParse: {exc}") from None
    userinfo, at, host = parts.netloc.rpartition("@")
    return {
        "scheme": parts.scheme,
        "userinfo": userinfo if at else "",
        "host": host,
        "hostname": hostname,
        "path": unquote(parts.path),
        "query": parts.query,
        "opaque": "",
        "fragment": unquote(parts.fragment),
    }


def _url_join(budget: Budget, parts: dict[str, Value]) -> str:
    def part(name: str) -> str:
        return text_of(parts[name], budget) if parts.get(name) else ""

    text = f"{part('scheme')}:" if part("scheme") else ""
    if part("host"):
        text += "//" + (f"{part('userinfo')}@" if part("userinfo") else "") + part("host")
        text += "/" if part("path") and not part("path").startswith("/") else ""
    text += quote(part("path"), safe="/:@!$&'()*+,;=~")
    text += f"?{part('query')}" if part("query") else ""
    text += f"#{quote(part('fragment'), safe='/?:@!$&()*+,;=~')}" if part("fragment") else ""
    budget.string(len(text))
    return text


TABLE: Final = (
    Function("base", "s", _base),
    Function("dir", "s", _dir),
    Function("ext", "s", _ext),
    Function("clean", "s", _clean),
    Function("isAbs", "s", lambda path: path.startswith("/")),
    Function("urlParse", "s", _url_parse),
    Function("urlJoin", "m", _url_join, charges=True),
)
