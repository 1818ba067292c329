"""The tutorial is a transcript: its commands are run in order and must print what it shows.

What may differ is said by `shape`: ids, times, hashes and figures count by their kind only, and in
a table of figures only the number of rows counts. An id that a command prints stands for the id
shown at its place in all later commands.
"""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
ID = re.compile(r"\b[a-z]-[0-9a-f]{8}\b")
WAIT_S = 30.0  # for what happens in the background, such as the way home


def transcript(text: str) -> Iterator[tuple[str, list[str]]]:
    """(command, lines that it prints) of every console block, in order."""
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.rstrip("\n").split("\n")
            yield command, lines


def shape(lines: list[str]) -> list[str]:
    """The lines with all that may differ replaced by its kind."""
    shaped = []
    for line in lines:
        if not line.strip() or set(line.strip()) <= set("─ "):
            continue
        if re.fullmatch(r" \S.*\s{3,}[\d.]+( %)?\s*", line):
            shaped.append("row of figures")
            continue
        line = re.sub(r"key=[\w-]+", "key=KEY", ID.sub("ID", line))
        line = re.sub(r"[\w+/]{40,}=*|\b[0-9a-f]{16}\b", "HASH", line)
        line = re.sub(r"\d+ (person|people)\b", "N people", line)
        line = re.sub(r"\d+( min| h)? \d+ (s|min)\b|\d+(\.\d+)? (s|min)\b", "LENGTH", line)
        shaped.append(re.sub(r"\s+", " ", re.sub(r"\d[\d.:]*", "N", line)).strip())
    return shaped


def _renamed(command: str, names: dict[str, str]) -> str:
    return ID.sub(lambda found: names.get(found[0], found[0]), command)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.slow
def test_every_command_of_the_tutorial_prints_what_it_shows(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        "PATH": f"/tmp/fh/h/t2/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "COLUMNS": "96",
        "FIRSTHAND_PORT": str(free_port()),
    }
    names: dict[str, str] = {}
    servers: list[subprocess.Popen[str]] = []

    def run(command: str) -> list[str]:
        if command == "firsthand serve":
            log = (tmp_path / "serve.log").open("w+")
            servers.append(
                subprocess.Popen(
                    ["firsthand", "serve"], cwd=tmp_path, env=environment, stdout=log, text=True
                )
            )
            while len(lines := (tmp_path / "serve.log").read_text().splitlines()) < 2:
                assert servers[-1].poll() is None
                time.sleep(0.05)
            return lines
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.splitlines()

    count = 0
    try:
        for shown, expected in transcript((DOCS / "tutorial.md").read_text()):
            command = _renamed(shown, names)
            deadline = time.monotonic() + WAIT_S
            printed = run(command)
            while shape(printed) != shape(expected) and command == "firsthand status":
                assert time.monotonic() < deadline, "\n".join(printed)
                time.sleep(0.5)
                printed = run(command)
            assert shape(printed) == shape(expected), command
            found = zip(
                ID.findall("\n".join(expected)), ID.findall("\n".join(printed)), strict=True
            )
            names |= dict(found)
            count += 1
    finally:
        for server in servers:
            server.terminate()
            server.wait(10)
    assert count >= 15


def test_the_tutorials_shapes_tell_different_outputs_apart():
    assert shape(["lost 1.5 s of 3"]) == shape(["lost 20 s of 4"])
    assert shape(["2 segments stored"]) != shape(["2 segments lost"])
    assert shape([" model    1.2"]) == shape([" ngram    3.4"])
    assert shape(["a", "b"]) != shape(["a"])
