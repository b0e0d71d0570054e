"""SQL that makes the archive's tables elsewhere: Amazon Athena over its files, PostgreSQL as gbe makes it itself."""

from collections.abc import Sequence
from typing import Final

from gbe.archive.files import PARQUET
from gbe.archive.layout import DATA
from gbe.archive.postgres.migrations import MIGRATIONS, VERSIONS

_COLUMNS: Final = (
    ("v", "int"),
    ("id", "string"),
    ("position", "string"),
    ("timestamp", "bigint"),
    ("traceparent", "string"),
    ("data", "string"),
    ("data_base64", "string"),
)
_JSON: Final = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
_PARQUET: Final = "STORED AS PARQUET"


def athena(location: str, form: str, domains: Sequence[str], first_day: str, table: str = "gbe_archive") -> str:
    """A table with partition projection: Athena works out the folders of a query, and lists none.

    The partition of the subject is called ``topic``: a query names it (``topic = '…'``), which Athena wants of a
    projection of the type ``injected``; ``domain`` and ``dt`` may be left out of a query.

    Args:
        location: ``s3://BUCKET/PREFIX`` of the archive.
        form: of its files.
        domains: that it has.
        first_day: ``YYYY-MM-DD``, before which it has nothing.
        table: its name.
    """
    columns = ",\n".join(f"  `{name}` {kind}" for name, kind in _COLUMNS)
    base = f"{location.rstrip('/')}/{DATA}"
    properties = {
        "projection.enabled": "true",
        "projection.domain.type": "enum",
        "projection.domain.values": ",".join(domains),
        "projection.topic.type": "injected",
        "projection.dt.type": "date",
        "projection.dt.format": "yyyy-MM-dd",
        "projection.dt.range": f"{first_day},NOW",
        "storage.location.template": f"{base}/domain=${{domain}}/subject=${{topic}}/dt=${{dt}}/",
    }
    listed = ",\n".join(f"  {_quoted(name)} = {_quoted(value)}" for name, value in properties.items())
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{table}` (\n{columns}\n)\n"
        "PARTITIONED BY (`domain` string, `topic` string, `dt` string)\n"
        f"{_PARQUET if form == PARQUET else _JSON}\n"
        f"LOCATION {_quoted(base + '/')}\nTBLPROPERTIES (\n{listed}\n);\n"
    )


def postgres() -> str:
    """The table, its view, and what tells gbe that they are there. Partitions are made day by day."""
    numbers = ", ".join(f"({number})" for number in range(1, len(MIGRATIONS) + 1))
    steps = [VERSIONS, *(statement for step in MIGRATIONS for statement in step)]
    record = f"INSERT INTO gbe_archive_migrations (version) VALUES {numbers}"  # noqa: S608  numbers
    return "".join(f"{statement};\n\n" for statement in (*steps, record))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
