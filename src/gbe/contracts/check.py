"""``gbe schema check``: schemas against what was released, against their types, and against their vectors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gbe.contracts.evolution import Finding, compare
from gbe.contracts.folder import Contract
from gbe.contracts.structure import fields_of
from gbe.contracts.types import PayloadType, differences, is_payload, type_of
from gbe.contracts.vectors import KIND, PayloadVector
from gbe.errors import ContractError

_QUOTED_KIND: Final = f'"{KIND}"'.encode()


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and every rule that is broken."""

    findings: Sequence[Finding]
    schemas: int
    vectors: int
    releases: int


def check(working: Contract, releases: Sequence[Contract], *, with_types: bool = True) -> Report:
    """Check a contract.

    Args:
        releases: the oldest first.
        with_types: also import the types that schemas name, and compare.

    Raises:
        ContractError: what cannot be read or compared.
    """
    findings = compare(working.schemas, [release.schemas for release in releases])
    types: dict[str, PayloadType] = {}
    for name, schema in working.schemas.items():
        try:
            fields_of(schema)
        except ContractError as exc:
            raise ContractError(f"{name}.json: {exc}") from None
        if with_types and is_payload(schema):
            types[name] = type_of(name, schema)
            findings += differences(name, schema, types[name])
    count = 0
    for contract in (working, *releases):
        for vector in _payloads(contract):
            if contract is not working and not vector.is_valid:
                continue  # what was refused once may be accepted now
            count += 1
            findings += _failed(vector, working, types, "" if contract is working else f"released/{contract.name}/")
    return Report(findings, len(working.schemas), count, len(releases))


def _payloads(contract: Contract) -> Iterator[PayloadVector]:
    for file, members in contract.vectors():
        kind = members.get("kind")
        if kind is not None and bytes(kind) == _QUOTED_KIND:
            yield PayloadVector(file, members)


def _failed(vector: PayloadVector, working: Contract, types: dict[str, PayloadType], where: str) -> Iterator[Finding]:
    schema = working.schemas.get(vector.schema)
    if schema is None:
        if not where:  # of a release, the schema that is gone is a finding already
            raise ContractError(f"vectors/{vector.file}: there is no schema {vector.schema}.json")
        return
    failure = vector.failure(schema, types.get(vector.schema))
    if failure is not None:
        yield Finding(vector.schema, "", "vector", f"{where}vectors/{vector.file}: {failure}")
