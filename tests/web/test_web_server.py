"""The server as a process: it says where it is, and ends cleanly when asked to."""

import json
import signal
import socket
import subprocess
import sys

import pytest
from rig import call

from firsthand import config
from firsthand.vault.vault import Vault
from firsthand.web.server import Server, bind

SERVE = """
import json, sys
from pathlib import Path
from firsthand import config
from firsthand.web.server import serve
settings = config.load(Path(sys.argv[1]), {}, port=0)
say = lambda s: print(json.dumps([s.url, s.page_url]), flush=True)
serve(settings, announce=say)
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_cleanly(tmp_path, number):
    config.mark(tmp_path / "data", "real")
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url, page_url = json.loads(process.stdout.readline())
        assert call(url, "GET", "/").status == 401
        key = page_url.removeprefix(f"{url}/?key=")
        assert len(key) >= 32
        assert call(url, "GET", f"/?key={key}").status == 303
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "ended\n", "")


def test_two_servers_have_different_keys_and_cookies(tmp_path):
    from firsthand.vault.vault import Vault
    from firsthand.web.server import Server

    config.mark(tmp_path / "data", "real")
    vault = Vault(config.load(tmp_path / "data", {}))
    cookies = set()
    for key in ("one", "two"):
        with Server(vault, "localhost", 0, key).background() as server:
            cookies.add(call(server.url, "GET", f"/?key={key}").headers["set-cookie"][:18])
    vault.close()
    assert len(cookies) == 2


def test_an_answer_goes_out_at_once_and_says_the_vaults_own_time(tmp_path):
    config.mark(tmp_path / "data", "real")
    vault = Vault(config.load(tmp_path / "data", {}), lambda: 1_793_520_000 * 10**9)
    with Server(vault, "127.0.0.1", 0).background() as server:
        answer = call(server.url, "GET", "/healthz")
    vault.close()
    # A device that booted in 1970 learns from it what the vault will take its signatures by.
    assert answer.headers["date"] == "Sun, 01 Nov 2026 08:00:00 GMT"
    # asyncio turns Nagle's algorithm off for sockets that name their protocol, and for no others.
    with bind("127.0.0.1", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP
