"""Files of rows as bytes: how each format is packed and unpacked. A file's name ends in its format.

============  =====================================================================================
``jsonl.gz``  JSON lines in gzip: what everything reads
``jsonl.zst`` JSON lines in Zstandard: smaller and much faster; needs ``zstandard``
``parquet``   columns, for query engines; needs ``pyarrow``. ``data_base64`` is text there too
============  =====================================================================================

The same messages are the same bytes, with one version of the library that packs them and on one kind of processor:
ISA-L, which packs gzip, hashes with what it finds there. A retry on another machine, or after an upgrade, may pack the
same rows into other bytes: so a sink that finds a batch's file already there compares rows.
"""

import gzip
import io
import zlib
from collections.abc import Sequence
from typing import Any, Final

from isal import igzip

from gbe.archive import rows
from gbe.archive.batch import Archived
from gbe.archive.rows import Row
from gbe.errors import ArchiveError, SinkRefusedError

JSONL_GZ: Final = "jsonl.gz"
JSONL_ZST: Final = "jsonl.zst"
PARQUET: Final = "parquet"
FORMATS: Final = (JSONL_GZ, JSONL_ZST, PARQUET)

_GZIP_LEVEL: Final = 2  # of ISA-L. Audit events: 6 % larger than zlib's level 5, in an eighth of the time
_ZSTD_LEVEL: Final = 3
_MOST_UNPACKED: Final = 1024 * 1024 * 1024


def pack(messages: Sequence[Archived], form: str = JSONL_GZ) -> bytes:
    """A file's bytes. Raises ``SinkRefusedError`` if the format's library is missing."""
    if form == PARQUET:
        return _pack_parquet(messages)
    lines = rows.encode(messages)
    if form == JSONL_ZST:
        return bytes(_zstandard().ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compress(lines))
    return igzip.compress(lines, _GZIP_LEVEL, mtime=0)


def unpack(data: bytes, name: str) -> list[Row]:
    """The rows of a file. Raises ``ArchiveError`` if it is damaged, or its format's library is missing."""
    if name.endswith(f".{PARQUET}"):
        return _unpack_parquet(data, name)
    try:
        lines = _unpack_zstd(data) if name.endswith(f".{JSONL_ZST}") else gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as exc:
        raise ArchiveError(f"{name} cannot be unpacked: {exc}") from None
    return list(rows.decode(lines, name))


def check_library(form: str) -> None:
    """Raise ``SinkRefusedError`` if what packs a format is not installed."""
    if form == JSONL_ZST:
        _zstandard()
    elif form == PARQUET:
        _pyarrow()


# -- Zstandard


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as exc:
        raise SinkRefusedError(_missing(JSONL_ZST, "zstd", exc)) from exc
    return zstandard


def _unpack_zstd(data: bytes) -> bytes:
    zstandard = _zstandard()
    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            found = bytes(reader.read(_MOST_UNPACKED))
            if reader.read(1):
                raise OSError(f"more than {_MOST_UNPACKED} bytes")
    except zstandard.ZstdError as exc:
        raise OSError(str(exc)) from None
    if not found and data:
        raise OSError("it is cut off")
    return found


# -- Parquet


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as exc:
        raise SinkRefusedError(_missing(PARQUET, "parquet", exc)) from exc
    return pa


def _schema(pa: Any) -> Any:
    text = pa.string()
    names = ("id", "subject", "position")
    optional = ("traceparent", "data", "data_base64")
    return pa.schema(
        [
            pa.field("v", pa.int32(), nullable=False),
            *(pa.field(name, text, nullable=False) for name in names),
            pa.field("timestamp", pa.int64(), nullable=False),
            *(pa.field(name, text) for name in optional),
        ]
    )


def _pack_parquet(messages: Sequence[Archived]) -> bytes:
    pa = _pyarrow()
    table = pa.Table.from_pylist([rows.document(message) for message in messages], schema=_schema(pa))
    out = io.BytesIO()
    pa.parquet.write_table(
        table, out, compression="zstd", version="2.6", store_schema=False, row_group_size=max(1, len(messages))
    )
    return out.getvalue()


def _unpack_parquet(data: bytes, name: str) -> list[Row]:
    pa = _pyarrow()
    try:
        # ParquetFile: read_table would look for partitions
        found = pa.parquet.ParquetFile(io.BytesIO(data)).read().to_pylist()
    except (pa.ArrowException, OSError) as exc:
        raise ArchiveError(f"{name} cannot be unpacked: {str(exc).splitlines()[0]}") from None
    return [rows.from_document(one, f"{name}, row {number}") for number, one in enumerate(found, 1)]


def _missing(form: str, extra: str, exc: ImportError) -> str:
    return f"files of the format {form} need a library that is missing ({exc}): pip install 'gbe[{extra}]'"
