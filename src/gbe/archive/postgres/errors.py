"""psycopg's errors become ours: the one place with both vocabularies."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors

from gbe.errors import SinkRefusedError, SinkUnavailableError

_REFUSALS: Final = {  # what the server says to a client that may not come in; such errors carry no code
    "password authentication failed": "check the user and the password in archive.url",
    "no password supplied": "put the password into archive.url",
    "no pg_hba.conf entry": "allow this host, user and database in pg_hba.conf",
    "does not exist": "check the user and the database in archive.url, or create them",
    "permission denied": "grant what the message names",
}


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn an error of the database into one that says whether another try may help."""
    try:
        yield
    except errors.InsufficientPrivilege as exc:
        raise SinkRefusedError(
            f"{where}: {_plain(exc)}; grant it, or let the owner of the table run gbe archiver once"
        ) from exc
    except (
        errors.UndefinedTable,
        errors.InvalidSchemaName,
        errors.UndefinedColumn,
        errors.InvalidObjectDefinition,  # a partition that overlaps one of somebody else's
    ) as exc:
        raise SinkRefusedError(f"{where}: {_plain(exc)}; the table of the archive is not as gbe made it") from exc
    except (errors.DiskFull, errors.ReadOnlySqlTransaction) as exc:
        raise SinkRefusedError(f"{where}: {_plain(exc)}; nothing is lost, the batch is written again") from exc
    except psycopg.OperationalError as exc:
        text = _plain(exc)
        for sign, advice in _REFUSALS.items():
            if exc.sqlstate is None and sign in text:
                raise SinkRefusedError(f"{where}: {text}; {advice}") from exc
        raise SinkUnavailableError(f"{where}: {text}") from exc
    except psycopg.Error as exc:
        raise SinkUnavailableError(f"{where}: {_plain(exc)}") from exc


def _plain(exc: psycopg.Error) -> str:
    """What the server said, in one line."""
    text = exc.diag.message_primary or str(exc)
    return " ".join(text.split())[:400] or type(exc).__name__
