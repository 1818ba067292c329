"""Where links lead: to the server that runs, wherever it listens, and to no server of the past."""

import fcntl
import subprocess
import sys
from contextlib import ExitStack

import pytest

from firsthand import config, serving


@pytest.fixture
def settings(tmp_path):
    config.mark(tmp_path / "data", "real")
    (tmp_path / "data" / "vault").mkdir()
    return config.load(tmp_path / "data", {})


def test_a_running_servers_own_address_is_told_and_only_while_it_runs(settings):
    assert serving.address(settings) == "http://127.0.0.1:8707"
    with serving.announced(settings.data, "http://127.0.0.1:40123"):
        assert serving.address(settings) == "http://127.0.0.1:40123"
        with serving.announced(settings.data, "http://[::1]:9"):
            assert serving.address(settings) == "http://[::1]:9"
    assert serving.address(settings) == "http://127.0.0.1:8707"


def test_of_two_servers_the_one_that_is_left_is_told(settings):
    with serving.announced(settings.data, "http://127.0.0.1:1"):
        with serving.announced(settings.data, "http://127.0.0.1:2"):
            assert serving.address(settings) == "http://127.0.0.1:2"
        assert serving.address(settings) == "http://127.0.0.1:1"
    with ExitStack() as second:
        with serving.announced(settings.data, "http://127.0.0.1:1"):
            second.enter_context(serving.announced(settings.data, "http://127.0.0.1:2"))
        assert serving.address(settings) == "http://127.0.0.1:2"
    assert serving.address(settings) == "http://127.0.0.1:8707"


def test_two_that_ask_at_once_do_not_take_each_other_for_a_server_that_was_killed(
    settings, monkeypatch
):
    lines = f"""
import os
from pathlib import Path
from firsthand import serving
with serving.announced(Path({str(settings.data)!r}), "http://127.0.0.1:40123"):
    os._exit(0)
"""
    subprocess.run([sys.executable, "-c", lines], check=True)
    asked = []
    lock = fcntl.flock

    def ask_between(handle: int, how: int) -> None:
        lock(handle, how)
        if not asked:
            asked.append("")
            asked[0] = serving.address(settings)

    monkeypatch.setattr(fcntl, "flock", ask_between)
    assert serving.address(settings) == "http://127.0.0.1:8707"
    assert asked == ["http://127.0.0.1:8707"]
    monkeypatch.undo()
    with serving.announced(settings.data, "http://127.0.0.1:3"):
        assert len(list((settings.data / "vault" / "servers").iterdir())) == 1


def test_the_setting_goes_before_all(settings):
    public = config.load(settings.data, {}, vault_url="https://vault.example")
    with serving.announced(settings.data, "http://127.0.0.1:40123"):
        assert serving.address(public) == "https://vault.example"


def test_a_server_that_was_killed_is_not_believed(settings):
    lines = f"""
import os, sys
from pathlib import Path
from firsthand import serving
with serving.announced(Path({str(settings.data)!r}), "http://127.0.0.1:40123"):
    print("up", flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", lines], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"up\n"
    assert serving.address(settings) == "http://127.0.0.1:40123"
    process.kill()
    process.communicate()
    assert serving.address(settings) == "http://127.0.0.1:8707"
