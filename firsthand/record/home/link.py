"""The line to the vault: one signed request, one answer, and every failure by its name.

Repeating, waiting and deciding what is safe belong to upload.py. http.client is used because it
needs half the CPU of the alternatives.
"""

import contextlib
import email.utils
import http.client
import json
import secrets
import ssl
import urllib.parse
from dataclasses import dataclass
from typing import Any

from firsthand.errors import Damaged, Error
from firsthand.httpsig import sign_request
from firsthand.record.clock import Clock
from firsthand.record.device import Device
from firsthand.record.home.limits import Pace
from firsthand.tlog import log_name, open_checkpoint

TIMEOUT_S = 30.0
ANSWER_BYTES = 8 << 20  # more is no answer of a vault
# A device boots without the time; the vault takes signatures that are at most this far off.
SKEW_S = 120
# A server closes what was idle (ours after 15 s); a new connection is cheaper than a vain try.
IDLE_NS = 10 * 10**9
# 404 and 410: the upload was forgotten, and asking for it anew begins it again.
_RETRY = (404, 408, 410, 423, 425)


class Unreached(Error):
    """The vault did not answer, or something answered that is no vault; worth another try."""


class Enough(Unreached):
    """The vault has enough of this device for now (429)."""


class Denied(Error):
    """The vault knows this device not, or no longer (401, 403)."""


class Rejected(Error):
    """The vault answered that this request will never do."""


@dataclass(frozen=True)
class Answer:
    """Status, headers (lower case) and body of an HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Link:
    """Keeps one connection per host open and signs what the vault should believe."""

    def __init__(
        self,
        device: Device,
        clock: Clock,
        timeout_s: float = TIMEOUT_S,
        pace: Pace | None = None,
    ) -> None:
        self._device = device
        self._clock = clock
        self._timeout_s = timeout_s
        self._pace = pace or Pace(clock)
        self._base = device.vault_url.rstrip("/")
        self._connections: dict[tuple[str, str], http.client.HTTPConnection] = {}
        self._offset_s = 0
        self._used_ns = 0

    @property
    def sent_bytes(self) -> int:
        """Bytes of parts handed to the network, repeated ones included."""
        return self._pace.bytes

    def now_ns(self) -> int:
        """The wall clock, set right by what the vault's answers said."""
        return self._clock.wall_ns() + self._offset_s * 10**9

    def state(self) -> dict[str, Any]:
        """What the vault tells this device; its signed checkpoint proves that it is the vault."""
        answer = self.ask("GET", "/api/device")
        key = self._device.receipt_key
        try:
            open_checkpoint(str(answer.get("checkpoint")), log_name(key), key)
        except Damaged as error:
            raise Unreached(
                f"{_host(self._base)} answered, but not as this device's vault", _PORTAL
            ) from error
        return answer

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A signed request and its JSON answer; Unreached, Denied or Rejected otherwise."""
        url = f"{self._base}{path}"
        data = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        answer = self._signed(method, url, data)
        if answer.status in (401, 403) and self._learn_time(answer):
            answer = self._signed(method, url, data)
        _check(answer, url)
        if answer.status == 204:
            return {}
        try:
            parsed = json.loads(answer.body)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise Unreached(f"{_host(url)} answered, but not as a vault does", _PORTAL)
        return parsed

    def put(self, url: str, data: bytes, md5: str = "") -> None:
        """Send one part to the URL given out for it; raises as `ask` does."""
        url = urllib.parse.urljoin(f"{self._base}/", url)
        headers = {"Content-Type": "application/octet-stream"}
        # Our own vault hashes the whole; an MD5 of each part would double its work.
        if md5 and urllib.parse.urlsplit(url).netloc != urllib.parse.urlsplit(self._base).netloc:
            headers["Content-MD5"] = md5
        answer = self._request("PUT", url, data, headers)
        if answer.status in (401, 403):
            raise Unreached(f"{_host(url)} took a part no more", "its URL is asked for anew")
        _check(answer, url)
        if not answer.headers.get("etag"):
            raise Unreached(f"{_host(url)} took a part, but not as a store does", _PORTAL)

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _signed(self, method: str, url: str, data: bytes) -> Answer:
        now_s = self.now_ns() // 10**9
        nonce = secrets.token_urlsafe(16)
        device = self._device
        headers = sign_request(device.key, device.name, method, _path(url), data, now_s, nonce)
        return self._request(method, url, data, headers | {"Content-Type": "application/json"})

    def _learn_time(self, answer: Answer) -> bool:
        # Whoever forges a Date gains nothing: the nonce and the vault's clock still decide.
        with contextlib.suppress(TypeError, ValueError):
            date = email.utils.parsedate_to_datetime(answer.headers.get("date", ""))
            offset_s = int(date.timestamp()) - self._clock.wall_ns() // 10**9
            if abs(offset_s - self._offset_s) > SKEW_S:
                self._offset_s = offset_s
                return True
        return False

    def _request(self, method: str, url: str, data: bytes, headers: dict[str, str]) -> Answer:
        parts = urllib.parse.urlsplit(url)
        place = (parts.scheme, parts.netloc)
        if self._clock.boot_ns() - self._used_ns > IDLE_NS:
            self.close()
        connection = self._connections.get(place)
        try:
            if connection is None:
                connection = self._connections[place] = self._connect(*place)
            body: Any = data
            if method == "PUT":
                headers = headers | {"Content-Length": str(len(data))}
                body = self._pace.pieces(data)
            connection.request(method, _path(url), body, headers)
            reply = connection.getresponse()
            content = reply.read(ANSWER_BYTES + 1)
            if len(content) > ANSWER_BYTES:
                raise http.client.HTTPException("its answer is too long")
        except (OSError, http.client.HTTPException) as error:
            self._drop(place)
            raise _unreached(url, error) from error
        except BaseException:  # asked to stop in the middle of a part
            self._drop(place)
            raise
        self._used_ns = self._clock.boot_ns()
        found = {name.lower(): value for name, value in reply.getheaders()}
        return Answer(reply.status, found, content)

    def _drop(self, place: tuple[str, str]) -> None:
        connection = self._connections.pop(place, None)
        if connection:
            connection.close()

    def _connect(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        if scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(netloc, timeout=self._timeout_s, context=context)
        if scheme != "http":
            raise http.client.HTTPException(f"{scheme!r} is no way to send a part")
        return http.client.HTTPConnection(netloc, timeout=self._timeout_s)


_CLOCK = "check this device's clock; or somebody stands between it and the vault. Nothing was sent"
_NETWORK = "check the network and the vault's URL; footage stays on the card"
_PORTAL = "the network may want a sign-in page opened first; footage stays on the card"


def _unreached(url: str, error: Exception) -> Unreached:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or "its certificate does not hold"
        return Unreached(f"{_host(url)} is not trusted: {why}", _CLOCK)
    return Unreached(f"{_host(url)} was not reached: {_reason(error)}", _NETWORK)


def _check(answer: Answer, url: str) -> None:
    status = answer.status
    if status in (200, 204):
        return
    title = _problem(answer) or f"HTTP status {status}"
    if status in (401, 403):
        raise Denied(f"{_host(url)} refused: {title}", "check that this device is enrolled there")
    if status == 429:
        raise Enough(f"{_host(url)} takes no more for now: {title}", "it is tried again later")
    if 400 <= status < 500 and status not in _RETRY:
        raise Rejected(f"{_host(url)} rejected it: {title}", "it stays on the card")
    raise Unreached(f"{_host(url)} could not: {title}", "it is tried again later")


def _problem(answer: Answer) -> str:
    """The words of a problem+json answer."""
    try:
        problem = json.loads(answer.body)
        return str(problem.get("detail") or problem.get("title") or "")[:300]
    except (ValueError, AttributeError):
        return ""


def _path(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
