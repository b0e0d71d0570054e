"""Documentation that can be checked by a machine is checked by one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.nats_cluster import documented_permissions
from typer.core import TyperGroup
from typer.main import get_command

from gbe.cli import ntfy_reference
from gbe.cli.main import app
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


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link, picture and heading exists."""
    text = page.read_text(encoding="utf-8")
    for target, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", text):
        if "://" in target:
            continue
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not heading or heading in anchors(file.read_text(encoding="utf-8")), f"{page.name}: {target}#{heading}"


def command_lines(text: str) -> Iterator[str]:
    """What follows ``gbe`` wherever a page shows it as code."""
    fence = re.compile(r"^```(.*?)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for kind, block in fence.findall(text):
        if not kind or kind.startswith("sh"):
            yield from re.findall(r"^(?:\w+=\S+ )*gbe ([a-z].*)$", block, re.MULTILINE)
    yield from re.findall(r"`gbe ([a-z][^`\n]*)`", fence.sub("", text))


def wrong_in(line: str) -> str | None:
    """What of a command line the program does not know; ``list|add`` stands for each of them."""
    words = line.split()
    commands = [get_command(app)]
    while words and isinstance(commands[0], TyperGroup) and re.fullmatch(r"[a-z|-]+", words[0]):
        group, names = commands[0], words.pop(0).split("|")
        if unknown := [name for name in names if name not in group.commands]:
            return unknown[0]
        commands = [group.commands[name] for name in names]
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    known |= {option for command in commands for parameter in command.params for option in parameter.secondary_opts}
    own = re.split(r" [|#;] ", " ".join(words))[0].partition("--exec ")[0]
    options = re.findall(r"(?<!\S)--[a-z-]+", own)
    return next((option for option in options if option not in known | {"--help"}), None)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_commands_on_a_page_are_there(page: Path) -> None:
    """Each command and each long option that a page shows is one of the program."""
    lines = list(command_lines(page.read_text(encoding="utf-8")))
    assert [(line, word) for line in lines if (word := wrong_in(line))] == []


def test_a_command_that_is_not_there_is_noticed() -> None:
    """Else the test above would hold of anything."""
    page = "`gbe tasks list --type x`, `gbe notify user list|add`\n```sh\ngbe tasks lst\nA=b gbe serve --listn 1\n```\n"
    assert [wrong_in(line) for line in command_lines(page)] == ["lst", "--listn", None, None]


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


@pytest.mark.parametrize("page", ["security.md", "ntfy-conformance.md"])
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    """``file`` or ``file::test``, below ``tests/``."""
    named = re.findall(r"`([\w/]+/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert len(named) > 40
    for file, test in named:
        source = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in source, f"{file}::{test}"


def test_every_section_and_quirk_is_on_the_page_on_conformance() -> None:
    """Each of the 26 quirks has one test, named by its number."""
    page = (ROOT / "docs" / "ntfy-conformance.md").read_text(encoding="utf-8")
    sections = [f"4.{number}" for number in range(1, 15)] + [f"5.{number}" for number in range(1, 7)]
    sections += [f"6.{number}" for number in range(1, 6)] + [f"8.{number}" for number in range(1, 5)]
    for section in ("1", "2", "3.1", "7", "12", "13", *sections):
        assert f"\n| {section} " in page, section
    quirks = (ROOT / "tests" / "ntfy" / "test_quirks.py").read_text(encoding="utf-8")
    assert re.findall(r"^def test_(\d\d)_", quirks, re.MULTILINE) == [f"{number:02}" for number in range(1, 27)]
