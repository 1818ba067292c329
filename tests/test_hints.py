"""Errors that people meet say what to do: each that consent, the pages and the commands raise."""

import ast
from pathlib import Path

import pytest

import firsthand
from firsthand import errors

ROOT = Path(firsthand.__file__).parent
KINDS = {
    name
    for name, each in vars(errors).items()
    if isinstance(each, type) and issubclass(each, errors.Error)
}


def unhelpful(tree: ast.AST) -> list[int]:
    """The lines on which an error is made of a message alone."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id in KINDS
        and len(call.args) == 1
        and not call.keywords
    ]


@pytest.mark.parametrize("room", ["consent", "web", "cli"])
def test_every_error_has_a_hint(room):
    found = {
        f"{file.relative_to(ROOT)}:{line}"
        for file in sorted((ROOT / room).rglob("*.py"))
        for line in unhelpful(ast.parse(file.read_text(encoding="utf-8")))
    }
    assert found == set()


def test_an_error_without_one_is_found():
    tree = ast.parse('raise Usage("no")\nraise Usage("no", "do")\nraise Failed("no", hint="do")')
    assert unhelpful(tree) == [1]
