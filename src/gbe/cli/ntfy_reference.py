"""What each option of an ntfy server does here, as Markdown; ``docs/ntfy-config.md`` holds its output."""

from gbe.config import KEYS
from gbe.ntfy_options import as_table


def table() -> str:
    """One Markdown table with every option."""
    return as_table({key.name for key in KEYS})


if __name__ == "__main__":
    print(table())  # noqa: T201
