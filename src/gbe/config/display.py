"""The configuration as it may be shown."""

from pathlib import Path

from gbe.config.keys import HIDDEN, KEYS
from gbe.config.secrets import without_secrets
from gbe.config.settings import Settings


def shown(settings: Settings) -> dict[str, object]:
    """Every key with its effective value, as ``gbe config show`` prints it: no secrets."""
    result: dict[str, object] = {}
    for key in KEYS:
        value = settings.values[key.name]
        if key.secret and value not in (None, (), ""):
            value = HIDDEN
        elif isinstance(value, Path):
            value = str(value)
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, str):
            value = without_secrets(value)
        result[key.name] = value
    return result
