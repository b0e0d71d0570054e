"""Credentials that somebody else's code provides: tokens that expire, such as AWS IAM's."""

import importlib
from typing import Any

from redis.credentials import CredentialProvider

from gbe.errors import ConfigError


def load_provider(name: str) -> CredentialProvider:
    """The credential provider that ``MODULE:ATTRIBUTE`` names, or makes when it is called.

    Raises:
        ConfigError: there is none; the text says why.
    """
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as exc:
        raise ConfigError(f"redis: credential_provider {name}: {exc}") from exc
    provider = found if isinstance(found, CredentialProvider) else found()
    if not isinstance(provider, CredentialProvider):
        raise ConfigError(f"redis: credential_provider {name} is no redis.credentials.CredentialProvider")
    return provider
