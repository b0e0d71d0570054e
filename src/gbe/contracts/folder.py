"""A contract in a folder: ``json/`` and ``vectors/`` as they are now, and ``released/vN/`` with both as they were."""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from gbe.contracts.evolution import Schemas
from gbe.errors import ContractError

MAX_BYTES: Final = 8 * 1024 * 1024
"""Of one file; what is larger is refused."""

_RELEASE: Final = re.compile(r"v([1-9][0-9]{0,5})\Z")
_documents: Final = msgspec.json.Decoder(dict[str, Any])
_raw_documents: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Contract:
    """The schemas of one state of a contract, by name, and where its vectors are."""

    folder: Path
    schemas: Schemas

    @property
    def name(self) -> str:
        """Of a release, such as ``v3``."""
        return self.folder.name

    def vectors(self) -> Iterator[tuple[str, Mapping[str, msgspec.Raw]]]:
        """Every vector with its file's path within ``vectors``; each member as it stands in the file."""
        root = self.folder / "vectors"
        for file in sorted(root.rglob("*.json")):
            yield file.relative_to(root).as_posix(), _read(file, _raw_documents)


def read_contract(folder: Path) -> Contract:
    """Read a state of a contract.

    Raises:
        ContractError: no ``json`` in the folder, a file that is no schema, two schemas with one ``$id``.
    """
    root = folder / "json"
    files = sorted(root.rglob("*.json")) if root.is_dir() else []
    if not files:
        raise ContractError(f"there is no schema in {root}; `gbe schema new NAME` begins one")
    schemas = {file.relative_to(root).with_suffix("").as_posix(): _read(file, _documents) for file in files}
    ids: dict[object, str] = {}
    for name, schema in schemas.items():
        other = ids.setdefault(schema.get("$id", name), name)
        if other != name:
            raise ContractError(f"{name}.json and {other}.json have the same $id")
    return Contract(folder, schemas)


def read_releases(folder: Path) -> list[Contract]:
    """The releases in a folder, the oldest first: ``v1``, ``v2``, …, or the folder itself if it is one.

    Raises:
        ContractError: as ``read_contract``.
    """
    if (folder / "json").is_dir():
        return [read_contract(folder)]
    return [read_contract(path) for _, path in _numbered(folder)]


def release(contract: Contract, folder: Path) -> Path:
    """Keep a contract as the next release; returns its folder."""
    number = max((number for number, _ in _numbered(folder)), default=0) + 1
    target = folder / f"v{number}"
    target.mkdir(parents=True)
    for part in ("json", "vectors"):
        if (contract.folder / part).is_dir():
            shutil.copytree(contract.folder / part, target / part)
    return target


def _numbered(folder: Path) -> Sequence[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    matches = ((_RELEASE.match(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match is not None)


def _read(file: Path, decoder: "msgspec.json.Decoder[Any]") -> Any:
    if file.stat().st_size > MAX_BYTES:
        raise ContractError(f"{file} is larger than {MAX_BYTES} bytes")
    try:
        return decoder.decode(file.read_bytes())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ContractError(f"{file} is no JSON object: {exc}") from None
