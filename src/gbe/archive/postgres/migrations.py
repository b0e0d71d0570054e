"""The table of the archive in PostgreSQL, as versioned steps: each is applied once, in one transaction, in order."""

from datetime import date, timedelta
from typing import Final, LiteralString

TABLE: Final = "gbe_archive"
LOCK: Final = 0x6762655F61726368
"""Key of the advisory lock ("gbe_arch") that lets one process at a time change the schema."""

VERSIONS: Final[LiteralString] = """\
CREATE TABLE IF NOT EXISTS gbe_archive_migrations (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""

# Positions are part of the key beside the id: a retried batch has the same pairs, and of two messages that a publisher
# gave one id neither is lost.
_TABLE: Final[LiteralString] = """\
CREATE TABLE gbe_archive (
    dt date NOT NULL,
    subject text NOT NULL COLLATE "C",
    id text NOT NULL COLLATE "C",
    pos_major bigint NOT NULL,
    pos_minor bigint NOT NULL,
    domain text NOT NULL COLLATE "C",
    ts bigint NOT NULL,
    traceparent text,
    payload bytea NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dt, subject, id, pos_major, pos_minor)
) PARTITION BY RANGE (dt)"""

# what is no JSON is archived as it is, and shows as NULL here
_JSON: Final[LiteralString] = """\
CREATE FUNCTION gbe_archive_json(payload bytea) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN convert_from(payload, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$"""

_VIEW: Final[LiteralString] = """\
CREATE VIEW archive AS
SELECT id, subject, domain, dt, ts, to_timestamp(ts / 1000.0) AS time,
       pos_major || '-' || pos_minor AS position, traceparent, payload AS payload_bytes,
       gbe_archive_json(payload) AS payload
FROM gbe_archive"""

# positions begin again in a stream that was made anew
_GENERATION: Final[LiteralString] = "ALTER TABLE gbe_archive ADD COLUMN generation integer NOT NULL DEFAULT 0"

_BATCHES: Final[LiteralString] = """\
CREATE TABLE gbe_archive_batches (
    subject text NOT NULL COLLATE "C",
    number bigint NOT NULL,
    dt date NOT NULL,
    generation integer NOT NULL,
    first_position text NOT NULL,
    last_position text NOT NULL,
    messages integer NOT NULL,
    size bigint NOT NULL,
    sha256 text NOT NULL,
    hash text NOT NULL,
    PRIMARY KEY (subject, number)
)"""

# a publisher's time may be any number, and one that no calendar here has would fail every query of its day
_TIME: Final[LiteralString] = """\
CREATE OR REPLACE VIEW archive AS
SELECT id, subject, domain, dt, ts, CASE WHEN ts < 253402300800000 THEN to_timestamp(ts / 1000.0) END AS time,
       pos_major || '-' || pos_minor AS position, traceparent, payload AS payload_bytes,
       gbe_archive_json(payload) AS payload
FROM gbe_archive"""

MIGRATIONS: Final[tuple[tuple[LiteralString, ...], ...]] = (
    (_TABLE,),
    (_JSON, _VIEW),
    (_GENERATION, _BATCHES),
    (_TIME,),
)
"""Step 1, 2, …; a step that was released is never changed."""


def partition_name(day: date) -> str:
    """Name of the partition that holds one day, UTC."""
    return f"{TABLE}_{day:%Y%m%d}"


def partition_statement(day: date) -> str:
    """The statement that makes one day's partition, if it is not there. Built from a date alone."""
    after = "MAXVALUE" if day == date.max else f"'{day + timedelta(days=1):%Y-%m-%d}'"
    return (
        f"CREATE TABLE IF NOT EXISTS {partition_name(day)} PARTITION OF {TABLE} "
        f"FOR VALUES FROM ('{day:%Y-%m-%d}') TO ({after})"
    )
