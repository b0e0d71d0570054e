"""Subjects and keys of jobs, and the ids of the tasks that a job is made of."""

import hashlib
from typing import Final

from gbe.errors import InvalidJobError, JobNotFoundError
from gbe.ids import decode_ulid, encode_ulid, is_ulid
from gbe.subjects import is_token

MAX_NAME: Final = 64
MAX_NODES: Final = 2_000
MAX_ITEMS: Final = 20_000
MAX_JOB_ITEMS: Final = 100_000
"""Items of all fan-outs of a job together: its record has a byte for every ``CHUNK`` of them."""
MAX_RUNS: Final = 255
CHUNK: Final = 250
"""Items of a fan-out whose states lie in one record."""
UNDO: Final = (1 << 20) - 1
"""In place of an item's number: the task that undoes."""

_HASH_BITS: Final = 88


class JobNames:
    """The names of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.state_prefix = f"{namespace}.state.jobs"
        self.types_prefix = f"{namespace}.state.jobtypes"
        self.outcomes = f"{namespace}.tasks.*.terminal"
        self.created = f"{namespace}.jobs.*.created"

    def event(self, job_type: str, word: str) -> str:
        """Where the life of jobs is told: ``created``, ``completed``, ``failed`` or ``cancelled``."""
        return f"{self.namespace}.jobs.{job_type}.{word}"

    def job(self, job_id: str) -> str:
        """The record of a job."""
        return f"{self.state_prefix}.{job_id}"

    def plan(self, job_id: str) -> str:
        """What a job never changes: its definition and parameters."""
        return f"{self.namespace}.state.jobplans.{job_id}"

    def items(self, job_id: str, node: int, chunk: int) -> str:
        """The states of some items of a fan-out."""
        return f"{self.namespace}.state.jobitems.{job_id}.{node}.{chunk}"

    def type(self, job_type: str) -> str:
        """The record of a definition."""
        return f"{self.types_prefix}.{job_type}"


def check_job_type(name: str, where: str = "job") -> str:
    """Return ``name`` if it can name a job type; raise ``InvalidJobError`` otherwise."""
    if not is_token(name) or len(name) > MAX_NAME:
        raise InvalidJobError(where, name[:80], f"expected a name of at most {MAX_NAME} letters, digits, _ and -")
    return name


def check_job_id(job_id: str) -> str:
    """Return ``job_id`` if it can be one; raise ``JobNotFoundError`` otherwise."""
    if not is_ulid(job_id):
        raise JobNotFoundError(job_id)
    return job_id


def job_id_of_key(job_type: str, idempotency_key: str) -> str:
    """The id of the one job with this idempotency key: the same for every start, so that one write decides."""
    digest = hashlib.blake2b(f"job\n{job_type}\n{idempotency_key}".encode(), digest_size=16).digest()
    return encode_ulid(int.from_bytes(digest[:6]), int.from_bytes(digest[6:]))


def child_id(job_id: str, node: int, item: int, run: int) -> str:
    """The id of a task of a job: the same whoever submits it, and it says where in the job it belongs."""
    value = _digest(job_id) << 40 | node << 28 | item << 8 | run
    return encode_ulid(value >> 80, value & ((1 << 80) - 1))


def place_of(job_id: str, task_id: str) -> tuple[int, int, int] | None:
    """Node, item and run of a task's id; ``None`` if it is no task of that job's own."""
    if not is_ulid(task_id):
        return None
    high, low = decode_ulid(task_id)
    value = high << 80 | low
    if value >> 40 != _digest(job_id):
        return None
    return value >> 28 & 0xFFF, value >> 8 & 0xFFFFF, value & 0xFF


def _digest(job_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(job_id.encode(), digest_size=_HASH_BITS // 8).digest())
