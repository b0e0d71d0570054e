"""The view ``events`` over an archive's files, as SQL.

Folders are partitions: a condition on ``domain``, ``subject`` or ``dt`` alone decides which files are opened.
"""

from collections.abc import Iterable
from typing import Final

from gbe.archive.duck.filesystem import PROTOCOL
from gbe.archive.files import PARQUET
from gbe.archive.layout import DATA, DataFile, is_cut

VIEWS: Final = ("events", "archive")
_PARTITIONS: Final = (
    "hive_partitioning = true, hive_types = {'domain': VARCHAR, 'subject': VARCHAR, 'dt': DATE}, union_by_name = false"
)
_FIELDS: Final = ("id", "position", "traceparent", "data", "data_base64")
_TIME: Final = "CASE WHEN ts < 253402300800000 THEN make_timestamp(ts * 1000) END"  # a publisher's may be any number
SCHEMA: Final = f"{DATA}/domain=none/subject=none/dt=1970-01-01/schema.parquet"
"""The columns of a Parquet file are read from the first one, so that is an empty one of ours: see ``schema_file``."""
_NOTHING: Final = (
    "SELECT NULL::VARCHAR AS id, NULL::VARCHAR AS own_subject, NULL::VARCHAR AS position, NULL::BIGINT AS ts, "
    "NULL::VARCHAR AS traceparent, NULL::VARCHAR AS data, NULL::VARCHAR AS data_base64, NULL::VARCHAR AS domain, "
    "NULL::VARCHAR AS subject, NULL::DATE AS dt WHERE false"
)


def statements(files: Iterable[DataFile]) -> list[str]:
    """What makes the views."""
    listed = list(files)
    parquet = [file for file in listed if file.format == PARQUET]
    lines = [file for file in listed if file.format != PARQUET]
    parts = []
    for form, names in _by_compression(lines).items():
        fields = ", ".join(f"json->>'$.{name}' AS {name}" for name in _FIELDS)
        parts.append(
            f"SELECT {fields}, json->>'$.subject' AS own_subject, (json->>'$.timestamp')::BIGINT AS ts, "  # noqa: S608
            f"domain, subject, dt FROM read_ndjson_objects({_list(names)}, compression = '{form}', {_PARTITIONS})"
        )
    fields = ", ".join(_FIELDS)
    if whole := [file.name for file in parquet if not is_cut(file.subject)]:
        parts.append(
            f"SELECT {fields}, NULL::VARCHAR AS own_subject, timestamp AS ts, domain, subject, dt "  # noqa: S608
            f"FROM read_parquet({_list([SCHEMA, *whole])}, {_PARTITIONS})"
        )
    if some := [file.name for file in parquet if is_cut(file.subject)]:  # there the column is hidden by the folder
        parts.append(
            f"SELECT {fields}, subject AS own_subject, timestamp AS ts, subject, "  # noqa: S608
            "regexp_extract(filename, 'domain=([^/]+)', 1) AS domain, "
            "regexp_extract(filename, 'dt=([0-9-]+)', 1)::DATE AS dt "
            f"FROM read_parquet({_list([SCHEMA, *some])}, hive_partitioning = false, filename = true)"
        )
    rows = " UNION ALL BY NAME ".join(parts) or _NOTHING
    # from the folder where it says all, because a condition on it then spares the reading
    subject = "coalesce(own_subject, subject)" if any(is_cut(file.subject) for file in listed) else "subject"
    view = (
        f"SELECT id, {subject} AS subject, domain, dt, ts, {_TIME} AS time, position, traceparent, "  # noqa: S608
        "try_cast(data AS JSON) AS payload, coalesce(encode(data), from_base64(data_base64)) AS payload_bytes "
        f"FROM ({rows})"
    )
    return [f"CREATE VIEW {name} AS {view}" for name in VIEWS]


def schema_file(path: str) -> str:
    """What writes an empty Parquet file with the columns of ours."""
    columns = ", ".join(f"NULL::VARCHAR AS {name}" for name in (*_FIELDS, "subject"))
    return f"COPY (SELECT {columns}, 0::INT AS v, 0::BIGINT AS timestamp WHERE false) TO '{path}' (FORMAT parquet)"


def _by_compression(files: Iterable[DataFile]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in files:
        found.setdefault("zstd" if file.format.endswith(".zst") else "gzip", []).append(file.name)
    return found


def _list(names: Iterable[str]) -> str:
    quoted = ("'" + f"{PROTOCOL}://{name}".replace("'", "''") + "'" for name in names)
    return f"[{', '.join(quoted)}]"
