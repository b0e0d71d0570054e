"""Where log lines go and what they look like. Only programs (the CLI) call this; the library just logs."""

import logging
import sys
from dataclasses import dataclass
from typing import Any, Final, Literal, TextIO

import structlog

from gbe.errors import ConfigError

LogFormat = Literal["text", "json"]
_LEVELS: Final = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Log output.

    Attributes:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        format: ``text`` for people, ``json`` (one object a line) for machines.
    """

    level: str = "info"
    format: LogFormat = "text"

    def __post_init__(self) -> None:
        if self.level not in _LEVELS:
            raise ConfigError(f"log.level is {self.level!r}; accepted: {', '.join(_LEVELS)}")
        if self.format not in ("text", "json"):
            raise ConfigError(f"log.format is {self.format!r}; accepted: text, json")


def configure(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send every logger's lines to ``stream`` (standard error), with the fields of their ``extra``."""
    output = stream or sys.stderr
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if config.format == "json":
        shared += [structlog.stdlib.add_logger_name, structlog.processors.format_exc_info]
        renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        # not the default, which shows the local variables of every frame: there are secrets among them
        renderer = structlog.dev.ConsoleRenderer(
            colors=output.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.level.upper())
    # uvicorn tells the story of every start and stop in six lines of its own; ours says it in one
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, root.level))
    logging.getLogger("httpx").setLevel(max(logging.WARNING, root.level))
