"""The checkout's frame: what is pinned, what `make` offers, what licence applies."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {plain(name): version for name, version in pairs}


def test_every_dependency_is_pinned() -> None:
    extras = PROJECT["optional-dependencies"]
    named = [*PROJECT["dependencies"], *(line for group in extras.values() for line in group)]
    names = {plain(re.match(r"[\w.-]+", line)[0]) for line in named}  # type: ignore[index]
    assert names - {plain(PROJECT["name"])} - set(pins()) == set()


def test_no_pin_brings_cuda() -> None:
    assert not [name for name in pins() if "nvidia" in name or "cuda" in name or name == "triton"]
    assert "+" not in pins()["torch"]


def test_makefile_and_pins_name_the_same_torch() -> None:
    found = re.search(r"^TORCH\s*:= (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found
    assert found[1] == pins()["torch"]


def test_every_target_has_a_line_of_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets
    told = set(re.findall(r"^([a-z]+):.*## \w", makefile, re.MULTILINE))
    assert told == set(targets[1].split())


def test_licence_is_apache_2() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()
