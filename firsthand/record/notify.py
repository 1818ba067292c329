"""Telling systemd that the recorder lives: its notification protocol over a plain socket.

Without systemd ($NOTIFY_SOCKET is not set) nothing is said. What systemd does when the pings end
stands in the unit that install.py writes.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping

PING_S = 1.0  # at most this often, however often it is called


class Service:
    """The line from a running service to systemd."""

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte of an abstract socket's name.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._clock_s = clock_s
        self._next_s = float("-inf")
        self._status = ""
        self._ready = False

    def ready(self, status: str = "") -> None:
        """The service does its work; says so once, and what it is at whenever that changes."""
        lines = [] if self._ready else ["READY=1"]
        if status != self._status:
            lines.append(f"STATUS={status}")
        self._ready, self._status = True, status
        if lines:
            self._send(lines)

    def ping(self) -> None:
        """The service is alive; call it from the very loop that does the work."""
        now_s = self._clock_s()
        if now_s >= self._next_s:
            self._next_s = now_s + PING_S
            self._send(["WATCHDOG=1"])

    def stopping(self) -> None:
        """The service was asked to stop and closes what is open."""
        self._send(["STOPPING=1"])

    def _send(self, lines: list[str]) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.setblocking(False)  # a full socket must not hold up a recording
                line.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            pass  # systemd restarts what it does not hear; nothing better can be done here
