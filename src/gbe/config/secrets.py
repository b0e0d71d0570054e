"""What of a value may be shown."""

import re

from gbe.archive.postgres.config import is_postgres_url
from gbe.config.keys import HIDDEN
from gbe.redis.config import is_redis_url


def without_secrets(text: str) -> str:
    """A value fit to be shown: the user part of URLs is hidden."""
    if is_postgres_url(text):
        text = re.sub(r"(?i)([?&](?:ssl)?password=)[^&]*", rf"\1{HIDDEN}", text)
    if is_redis_url(text) or is_postgres_url(text):  # the hosts share one user part, which may hold commas too
        return re.sub(r"(?s)(://).*@", rf"\1{HIDDEN}@", text)
    return ",".join(re.sub(r"(\w+://).*@", rf"\1{HIDDEN}@", part) for part in text.split(","))
