"""A file of rows as bytes: how it is packed and unpacked."""

import gzip
import zlib
from collections.abc import Sequence

from gbe.archive import rows
from gbe.archive.batch import Archived
from gbe.errors import ArchiveError

_LEVEL = 6


def pack(messages: Sequence[Archived]) -> bytes:
    """A file's bytes; of the same messages always the same, with one version of zlib."""
    return gzip.compress(rows.encode(messages), _LEVEL, mtime=0)


def unpack(data: bytes, where: str) -> bytes:
    """The JSON lines of a file; raises ``ArchiveError`` if it is damaged."""
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as exc:
        raise ArchiveError(f"{where} cannot be unpacked: {exc}") from None
