"""The documents against the program: links, settings, exit codes, commands."""

import re
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import pytest

from firsthand import errors
from firsthand.cli.nouns import EXITS, NOUNS
from firsthand.config import Settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = (ROOT / "docs" / "commands.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_a_page_names_exists(page):
    for noun, verb in re.findall(r"`firsthand (\w+)(?: ([a-z-]+))?", page.read_text()):
        assert noun in NOUNS
        assert find_spec(f"firsthand.cli.{noun}"), noun
        if verb:
            assert f"firsthand {noun} {verb}" in COMMANDS or f"firsthand {noun} [" in COMMANDS


def test_every_setting_is_documented():
    text = (ROOT / "docs" / "operate.md").read_text()
    for field in fields(Settings):
        assert f"| `{field.name}` | `FIRSTHAND_{field.name.upper()}` |" in text


def test_every_exit_code_is_documented():
    text = (ROOT / "docs" / "operate.md").read_text()
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    for code in {*EXITS, *(each.exit_code for each in classes if hasattr(each, "exit_code"))}:
        assert f"| {code} |" in text
