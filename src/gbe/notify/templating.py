"""Titles and messages from the JSON of a webhook (section 4.9): which template applies, and what its faults mean.

Rendering takes up to a tenth of a second and files are read, so ``Templating.apply`` belongs into a thread.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
import yaml

from gbe.errors import (
    NotifyError,
    TemplateError,
    TemplateFailedError,
    TemplateForbiddenError,
    TemplateTimeoutError,
)
from gbe.notify.config import NotifyConfig
from gbe.notify.errors import Refusal
from gbe.notify.priority import parse_priority
from gbe.notify.publishing import PublishOptions
from gbe.notify.text import clean, one_line, trim
from gbe.templates.data import decode_json
from gbe.templates.limits import MAX_SOURCE_BYTES
from gbe.templates.template import Template

MAX_BODY_BYTES: Final = 131_072
"""At which the JSON of a webhook is too large."""
MAX_RESULT_BYTES: Final = 4096
BUILT_IN: Final = ("github", "grafana", "alertmanager")

_INLINE: Final = frozenset({"1", "yes", "true", "0", "no", "false"})
_NAME: Final = re.compile(r"[-_A-Za-z0-9]{1,64}")
_KEYS: Final = ("title", "message", "priority")
_MAX_FILE_BYTES: Final = 4 * MAX_SOURCE_BYTES
_FOLDER: Final = Path(__file__).parent / "builtin_templates"


@dataclass(frozen=True, slots=True)
class Texts:
    """The templates of one request; an empty one renders nothing."""

    title: str = ""
    message: str = ""
    priority: str = ""


class Templating:
    """Applies templates to publish requests."""

    def __init__(self, config: NotifyConfig) -> None:
        self._folder = config.template_dir

    def apply(self, chosen: PublishOptions, body: bytes) -> PublishOptions:
        """What the request would have been without a template, and with an empty body.

        Args:
            chosen: with a ``template``.
            body: the JSON; of a longer one, ``MAX_BODY_BYTES`` are enough.

        Raises:
            NotifyError: 41303, 40042, 40043, 40044, 40045, 40041, 40047, 40048, 40055, 40056, 40007.
        """
        if len(body) >= MAX_BODY_BYTES:
            raise Refusal.JSON_TOO_LARGE.error()
        text = str(body, "utf-8", "replace")
        texts = self._texts(chosen)
        title = _rendered(texts.title, text)
        message = _rendered(texts.message, text)
        if max(len(title.encode()), len(message.encode())) > MAX_RESULT_BYTES:
            raise Refusal.TEMPLATE_RESULT_TOO_LARGE.error(f"at most {MAX_RESULT_BYTES} bytes each")
        priority = _rendered(texts.priority, text)
        return msgspec.structs.replace(
            chosen,
            template="",
            title=one_line(title),
            message=message,
            priority=parse_priority(priority) if priority else None,
        )

    def _texts(self, chosen: PublishOptions) -> Texts:
        given = Texts(chosen.title, chosen.message, chosen.priority_template)
        if chosen.template in _INLINE:
            return given
        file = self._file(chosen.template)
        return Texts(
            title=file.get("title") or given.title,
            message=file.get("message") or given.message,
            priority=file.get("priority") or given.priority,
        )

    def _file(self, name: str) -> Mapping[str, str]:
        """The templates of a name: the operator's file before the built-in one."""
        if _NAME.fullmatch(name) is None:
            raise Refusal.TEMPLATE_FILE_MISSING.error("a name has only A-Z a-z 0-9 _ -")
        if self._folder is not None:
            try:
                return read_file(self._folder / f"{name}.yml")
            except FileNotFoundError:
                pass
            except (OSError, ValueError) as exc:
                raise Refusal.TEMPLATE_FILE_INVALID.error(_reason(exc)) from exc
        if name in BUILT_IN:
            return built_in(name)
        raise Refusal.TEMPLATE_FILE_MISSING.error(name)


def read_file(path: Path) -> Mapping[str, str]:
    """The templates in a file: ``title``, ``message`` and ``priority``, each optional.

    Raises:
        OSError: it cannot be read; ``FileNotFoundError`` if it is not there.
        ValueError: it is not what a template file is; the text says why and names no path.
    """
    with path.open("rb") as file:
        raw = file.read(_MAX_FILE_BYTES + 1)
    if len(raw) > _MAX_FILE_BYTES:
        raise ValueError(f"over {_MAX_FILE_BYTES} bytes")
    try:
        document = yaml.safe_load(raw)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError("not YAML") from exc
    if not isinstance(document, dict):
        raise ValueError("not a mapping")
    unknown = [str(key) for key in document if key not in _KEYS]
    if unknown:
        raise ValueError(f"unknown key {unknown[0][:40]!r}; there are {', '.join(_KEYS)}")
    return {key: str(value) for key, value in document.items() if isinstance(value, str | int)}


@lru_cache(maxsize=len(BUILT_IN))
def built_in(name: str) -> Mapping[str, str]:
    """The templates that come with gbe; ``name`` is one of ``BUILT_IN``."""
    return read_file(_FOLDER / f"{name}.yml")


def _reason(exc: Exception) -> str:
    return (exc.strerror or "cannot be read") if isinstance(exc, OSError) else str(exc)


def _rendered(source: str, body: str) -> str:
    """One text; data are read again for each, since a template may change them."""
    if len(source) > MAX_SOURCE_BYTES or len(source.encode()) > MAX_SOURCE_BYTES:
        raise Refusal.TEMPLATE_TOO_LARGE.error(f"at most {MAX_SOURCE_BYTES} bytes")
    try:
        data = decode_json(body)
    except TemplateFailedError as exc:
        raise Refusal.TEMPLATE_BODY_NOT_JSON.error() from exc
    if not source:
        return ""
    try:
        output = Template.parse(source).render(data)
    except TemplateError as exc:
        raise _refusal(exc) from exc
    return trim(clean(output).replace("\\n", "\n"))


def _refusal(exc: TemplateError) -> NotifyError:
    detail = one_line(clean(str(exc)))[:300]
    match exc:
        case TemplateForbiddenError():
            return Refusal.TEMPLATE_DISALLOWED_CALL.error()
        case TemplateTimeoutError():
            return Refusal.TEMPLATE_TIMED_OUT.error(detail)
        case TemplateFailedError():
            return Refusal.TEMPLATE_FAILED.error(detail)
    return Refusal.TEMPLATE_INVALID.error(detail)
