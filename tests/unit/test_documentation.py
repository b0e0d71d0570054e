"""Documentation that can be checked by a machine is checked by one."""

import re
from pathlib import Path
from typing import Final

import pytest

from gbe.cli.reference import table

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_reference_names_every_key() -> None:
    """docs/configuration.md holds what the configuration says of itself; `scripts/docs` writes it anew."""
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert table() in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link and picture exists."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
