"""The manual: docs/commands.md is the commands' own help, and the help says what it must."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(build: ModuleType) -> dict[str, str]:
    return dict(build.pages(build.get_command(build.app), "firsthand"))


def verbs(pages: dict[str, str]) -> dict[str, str]:
    return {
        path: text
        for path, text in pages.items()
        if not any(other.startswith(path + " ") for other in pages)
    }


def test_commands_md_is_what_the_commands_say(build: ModuleType) -> None:
    written = build.FILE.read_text(encoding="utf-8")
    assert written == build.commands(), 'run "make docs"'


def test_every_command_lists_its_exit_codes(pages: dict[str, str]) -> None:
    missing = [path for path, text in verbs(pages).items() if "Exit codes: 0 done" not in text]
    assert missing == []


def test_every_command_and_option_says_what_it_is_for(pages: dict[str, str]) -> None:
    for path, text in pages.items():
        assert text.splitlines()[2].strip(), f"{path} has no sentence"
    bare = [
        f"{path}: {line.strip()}"
        for path, text in pages.items()
        for line, after in zip(text.splitlines(), [*text.splitlines()[1:], ""], strict=True)
        if line.startswith("  -") and "  " not in line.strip() and not after.startswith("    ")
    ]
    assert bare == []
