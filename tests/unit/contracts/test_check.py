"""``gbe schema``: folders of schemas, vectors, types and releases, and what is said about them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.vectors.files import ROOT, contract
from typer.testing import CliRunner, Result

from gbe.cli.main import app
from gbe.contracts.check import check
from gbe.contracts.folder import read_contract, read_releases
from gbe.contracts.scaffold import scaffold
from gbe.errors import ContractError

SCHEMA = Path("json", "billing", "recorded.json")
VALID = Path("vectors", "payloads", "billing", "recorded", "valid-full.json")


@pytest.fixture
def domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The schemas of a new domain, released once; its types can be imported while the test runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "billing_events", raising=False)
    assert scaffold("billing").write(Path())
    assert run("release").exit_code == 0
    return tmp_path / "schemas"


def run(*words: str) -> Result:
    """``gbe schema …`` within this process; its errors are raised as ``gbe`` would print them."""
    result = CliRunner().invoke(app, ["schema", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a document."""
    document = json.loads(file.read_bytes())
    change(document)
    file.write_text(json.dumps(document))


def test_the_contract_of_gbe_is_whole() -> None:
    """No rule is broken since the last release, types and schemas agree, and every vector of every release is read."""
    releases = read_releases(ROOT / "released")
    report = check(contract(), releases)
    assert [str(finding) for finding in report.findings] == []
    assert report.releases >= 1
    assert report.vectors > 200 * report.releases


def test_a_new_domain_passes_and_is_released(domain: Path) -> None:
    """From the scaffold on."""
    result = run("check")
    assert result.exit_code == 0
    assert "nothing is broken (1 schemas, 10 vectors, 1 releases)" in result.output
    assert run("release").output == f"released as {Path('schemas', 'released', 'v2')}\n"


def test_what_is_broken_is_named_by_file_field_and_rule(domain: Path) -> None:
    """And the exit code is 1; nothing of it can be released."""
    edit(domain / SCHEMA, lambda schema: schema["properties"]["item"].update(maxLength=10))
    result = run("check", "--no-types")
    assert result.exit_code == 1
    first = result.output.splitlines()[0]
    assert first.startswith("billing/recorded.json: item: narrowed-bound: maxLength was 256, is 10;")
    with pytest.raises(ContractError, match="nothing was released"):
        run("release", "--no-types")
    assert not (domain / "released" / "v2").exists()


def test_findings_are_json_for_programs(domain: Path) -> None:
    """With the same facts."""
    edit(domain / SCHEMA, lambda schema: schema["properties"].pop("note"))
    result = run("check", "--no-types", "--json")
    assert result.exit_code == 1
    findings = json.loads(result.output)["findings"]
    assert {"file": "billing/recorded", "field": "note", "rule": "removed-field"}.items() <= findings[0].items()


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        (lambda fields: fields.update(added={"type": "string"}), "added", "does not have it"),
        (lambda fields: fields.pop("note"), "note", "the schema does not have it"),
        (lambda fields: fields["note"].update(maxLength=9000), "note", "limits"),
        (lambda fields: fields["actor"].update(type="string"), "actor", "types"),
        (lambda fields: fields["ts"].pop("maximum"), "ts", "limits"),
    ],
)
def test_a_schema_and_its_type_cannot_drift_apart(domain: Path, change: Any, field: str, words: str) -> None:
    """Whichever of them has more, or less."""
    edit(domain / SCHEMA, lambda schema: change(schema["properties"]))
    findings = [line for line in run("check").output.splitlines() if ": type: " in line]
    assert [line.split(": ")[1] for line in findings] == [field]
    assert words in findings[0]


def test_a_type_that_has_more_than_its_schema_is_found(domain: Path) -> None:
    """The other way round."""
    module = domain.parent / "billing_events.py"
    del sys.modules["billing_events"]
    module.write_text(module.read_text().replace("    item: Name\n", "    item: Name\n    extra: int\n"))
    assert "billing/recorded.json: extra: type: the schema does not have it" in run("check").output


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda vector: vector["json"].pop("item"), "it is refused: item: missing"),
        (lambda vector: vector.update(case="invalid"), "the schema accepts it; expected a refusal"),
        (lambda vector: vector["encoded"].update(actor="bob"), "encoded again it is"),
    ],
)
def test_a_vector_that_says_something_else_is_found(domain: Path, change: Any, words: str) -> None:
    """With its file."""
    edit(domain / VALID, change)
    output = run("check").output
    assert "billing/recorded.json: vector: vectors/payloads/billing/recorded/valid-full.json" in output
    assert words in output


def test_a_vector_of_a_release_that_is_no_longer_read_is_found(domain: Path) -> None:
    """Even if the rules see nothing: here the release itself was edited."""
    edit(domain / "released" / "v1" / VALID, lambda vector: vector["json"].update(actor=""))
    assert "released/v1/vectors/payloads/billing/recorded/valid-full.json: it is refused" in run("check").output


def test_one_release_or_a_folder_of_them_can_be_compared_with(domain: Path) -> None:
    """Those of somebody else, too."""
    assert "1 releases" in run("check", "--against", "schemas/released/v1").output
    assert "1 releases" in run("check", "schemas", "--against", "schemas/released").output
    for wrong in ("nowhere", "schemas/vectors"):
        with pytest.raises(ContractError, match=f"--against {wrong}"):
            run("check", "--against", wrong)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        (SCHEMA, "[]", "is no JSON object"),
        (SCHEMA, "{", "is no JSON object"),
        (SCHEMA.with_name("twice.json"), '{"$id": "urn:billing:recorded"}', "have the same"),
        (VALID, '{"kind": "payload"}', "schema"),
        (VALID, '{"kind": "payload", "schema": "a", "case": "odd", "json": 1}', "case is 'odd'"),
        (VALID, '{"kind": "payload", "schema": "a", "case": "valid"}', "exactly one of json, text, base64"),
        (VALID, '{"kind": "payload", "schema": "a", "case": "valid", "json": 1}', "there is no schema a.json"),
        (VALID, '{"kind": "payload", "schema": "a", "case": "valid", "base64": "%"}', "base64"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(domain: Path, file: Path, text: str, words: str) -> None:
    """Rather than skipped."""
    (domain / file).write_text(text)
    with pytest.raises(ContractError, match=words):
        run("check")


def test_a_type_that_is_not_there_is_named(domain: Path) -> None:
    """With the way out for who has no Python."""
    edit(domain / SCHEMA, lambda schema: schema.update({"x-python": "nowhere_at_all:Type"}))
    with pytest.raises(ContractError, match=r"billing/recorded\.json: x-python: there is no module nowhere_at_all"):
        run("check")
    assert run("check", "--no-types").exit_code == 0


def test_a_folder_without_schemas_says_how_to_begin(tmp_path: Path) -> None:
    """With the command."""
    with pytest.raises(ContractError, match="gbe schema new"):
        read_contract(tmp_path)


@pytest.mark.parametrize(
    "name", ["", "Billing", "a.b", "1a", "a--b", "a-", "a b", "../x", "x" * 33, "tasks", "notify", "events", "ä"]
)
def test_a_domain_needs_a_name_of_its_own(name: str, tmp_path: Path) -> None:
    """Nothing is written otherwise."""
    with pytest.raises(ContractError):
        scaffold(name).write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_is_there_is_overwritten(tmp_path: Path) -> None:
    """Neither files nor a configuration; what the latter needs is printed."""
    (tmp_path / "gbe.yaml").write_text("listen: 127.0.0.1:9999\n")
    result = run("new", "order-desk", "--into", str(tmp_path))
    assert "order-desk.recorded: order_desk_events:OrderDeskRecorded" in result.output
    assert (tmp_path / "gbe.yaml").read_text() == "listen: 127.0.0.1:9999\n"
    before = (tmp_path / "order_desk_events.py").read_bytes()
    with pytest.raises(ContractError, match=r"order_desk_events\.py is there already"):
        run("new", "order-desk", "--into", str(tmp_path))
    assert (tmp_path / "order_desk_events.py").read_bytes() == before
