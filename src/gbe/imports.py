"""What a configuration names in somebody's code: ``MODULE:ATTRIBUTE``."""

import importlib
import sys
from pathlib import Path

from gbe.errors import ConfigError


def imported(target: str, expected: str) -> object:
    """Import ``module:attribute``, from the working directory too.

    Args:
        expected: for the error, what ``target`` should be, or the key that it is the value of.

    Raises:
        ConfigError: there is no such module or attribute.
    """
    module_name, colon, attribute = target.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigError(f"{target!r} is not MODULE:NAME: {expected}")
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and not module_name.startswith(exc.name):
            raise  # found, and it imports something that is not there: its traceback says where
        raise ConfigError(f"there is no module {module_name} in {directory} or where Python looks") from None
    try:
        found: object = getattr(module, attribute)
    except AttributeError:
        raise ConfigError(f"module {module_name} has no {attribute}: {expected}") from None
    return found
