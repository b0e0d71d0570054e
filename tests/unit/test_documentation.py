"""Documentation that can be checked by a machine is checked by one."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest
from tests.nats_cluster import documented_permissions

from gbe.cli import ntfy_reference
from gbe.cli.reference import table
from gbe.config import load

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_reference_names_every_key() -> None:
    """docs/configuration.md holds what the configuration says of itself; `scripts/docs` writes it anew."""
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert table() in page


def test_the_page_for_those_who_come_from_ntfy_names_every_option() -> None:
    """docs/ntfy-config.md holds what the table of options says; `scripts/docs` writes it anew."""
    page = (ROOT / "docs" / "ntfy-config.md").read_text(encoding="utf-8")
    assert ntfy_reference.table() in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link and picture exists."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def blocks(kind: str) -> list[tuple[str, str]]:
    """The blocks of one kind, with their page's name."""
    texts = [(page.name, page.read_text(encoding="utf-8")) for page in PAGES]
    return [
        (name, block)
        for name, text in texts
        for block in re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


@pytest.mark.parametrize(("name", "block"), blocks("yaml"))
def test_a_configuration_on_a_page_is_one(name: str, block: str, tmp_path: Path) -> None:
    """Every key is known, every value is right; the files that it names are there."""
    (tmp_path / "some.pem").touch()
    file = tmp_path / "gbe.yaml"
    file.write_text(re.sub(r"/etc/gbe/[\w.]+", str(tmp_path / "some.pem"), block))
    load(file, environment={})


@pytest.mark.parametrize(("name", "block"), blocks("python"))
def test_a_program_on_a_page_can_be_read(name: str, block: str) -> None:
    compile(block, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)  # a page may show the middle of a coroutine


def test_the_servers_configuration_has_the_permissions_of_the_table() -> None:
    """docs/nats.md says twice what a user may do."""
    page = (ROOT / "docs" / "nats.md").read_text(encoding="utf-8")
    listed = page.partition("permissions: {")[2].partition("} }")[0]
    publish, _, subscribe = listed.partition("subscribe:")
    for kind, text in (("publish", publish), ("subscribe", subscribe)):
        assert set(re.findall(r'"([^"]+)"', text)) == set(documented_permissions()[kind])


def test_every_test_that_the_security_page_names_is_there() -> None:
    """``file`` or ``file::test``, below ``tests/``."""
    root = Path(__file__).parents[2]
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", (root / "docs" / "security.md").read_text())
    assert len(named) > 40
    for file, test in named:
        source = (root / "tests" / file).read_text()
        assert not test or f"def {test}(" in source, f"{file}::{test}"
