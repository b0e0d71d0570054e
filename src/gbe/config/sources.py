"""Where the configuration comes from: the file, in which options of ntfy may stand too, and the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gbe.config.keys import BY_NAME, BY_VARIABLE, ENVIRONMENT_PREFIX, Key, suggestion
from gbe.config.tables import TABLES
from gbe.errors import ConfigError
from gbe.ntfy_options import in_environment, option_named, translate
from gbe.yamlfile import parse_yaml

DEFAULT_FILE: Final = Path("gbe.yaml")
# what Kubernetes puts into every pod beside a Service of the name gbe
_SERVICE_LINK: Final = re.compile(r"GBE_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class InFile:
    """What a configuration file says, checked entry by entry."""

    values: Mapping[str, object]
    warnings: list[str]
    streams: list[Mapping[str, Any]] = field(default_factory=list)
    tasks: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    schedules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    events: Mapping[str, str | None] = field(default_factory=dict)
    jobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_file(file: Path | None) -> InFile:
    """Read a file; ``None`` is ``gbe.yaml`` in the working directory if there is one.

    Raises:
        ConfigError: it is not there, or something in it cannot be used.
    """
    values: dict[str, object] = {}
    tables: dict[str, Any] = {}
    warnings: list[str] = []
    for name, (value, source) in _from_file(file, warnings).items():
        if value is None:  # a key without a value is not given
            continue
        if name in TABLES:
            tables[name] = TABLES[name](value, source)
        else:
            values[name] = BY_NAME[name].parse(value, source)
    return InFile(values=values, warnings=warnings, **tables)


def read_environment(environment: Mapping[str, str], warnings: list[str]) -> dict[str, object]:
    """What variables say; those of ntfy count less than gbe's own. Raises ``ConfigError``."""
    values: dict[str, object] = {}
    for option, text in in_environment(environment):
        translated = translate(option, text, BY_NAME)
        if translated.key is not None:
            values[translated.key] = BY_NAME[translated.key].parse(translated.value, option.variable)
        if translated.warning:
            warnings.append(f"{option.variable}: {translated.warning}")
    for key, text in _variables(environment):
        values[key.name] = key.parse(text, key.variable)
    return values


def _from_file(file: Path | None, warnings: list[str]) -> dict[str, tuple[object, str]]:
    path = file or DEFAULT_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if file is None:
            return {}
        raise ConfigError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}") from exc
    document = parse_yaml(text, path)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected keys and values at the top")
    own, ntfys = _apart(document)
    flat = {**_translated(ntfys, str(path), warnings), **_flatten(own, "", str(path))}
    return {name: (value, str(path)) for name, value in flat.items()}


def _apart(document: Mapping[Any, Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Keys of gbe, and options of ntfy: a file may have both."""
    ntfys = {name: value for name, value in document.items() if option_named(str(name)) is not None}
    return {name: value for name, value in document.items() if name not in ntfys}, ntfys


def _translated(ntfys: Mapping[Any, Any], source: str, warnings: list[str]) -> dict[str, object]:
    """Options of ntfy as keys of gbe, which count less than gbe's own."""
    flat: dict[str, object] = {}
    for name, value in ntfys.items():
        option = option_named(str(name))
        if option is None or value is None:
            continue
        translated = translate(option, value, BY_NAME)
        if translated.key is not None:
            flat[translated.key] = translated.value
        if translated.warning:
            warnings.append(f"{source}: {translated.warning}")
    return flat


def _flatten(document: Mapping[Any, Any], prefix: str, source: str) -> dict[str, object]:
    flat: dict[str, object] = {}
    sections = {name.partition(".")[0] for name in BY_NAME if "." in name}
    for raw, value in document.items():
        name = f"{prefix}{raw}".replace("-", "_")
        if not prefix and name in sections and (value is None or isinstance(value, Mapping)):
            flat |= _flatten(value or {}, f"{name}.", source)
        elif name in BY_NAME or name in TABLES:
            flat[name] = value
        else:
            raise ConfigError(f"{source}: unknown key {name}{suggestion(name, [*BY_NAME, *TABLES])}")
    return flat


def _variables(environment: Mapping[str, str]) -> list[tuple[Key, str]]:
    found: list[tuple[Key, str]] = []
    for variable, text in environment.items():
        # an empty variable is one that somebody could not unset
        if not variable.startswith(ENVIRONMENT_PREFIX) or not text or _SERVICE_LINK.fullmatch(variable):
            continue
        key = BY_VARIABLE.get(variable)
        if key is None:
            raise ConfigError(f"unknown variable {variable}{suggestion(variable, list(BY_VARIABLE))}")
        found.append((key, text))
    return found
