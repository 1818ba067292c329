"""The guard before every request: who may come in, and what every answer carries.

Against other sites in the wearer's browser: the Host must be ours (DNS rebinding), a change must
come from our own page, and pages need an access key: the keeper's, which the server prints, or a
named one, which opens what roles.py says. Devices are checked by signature instead.
"""

import hashlib
import hmac
import ipaddress
import logging
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode, urlparse

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firsthand.config import Settings
from firsthand.consent import people
from firsthand.consent.access import askers
from firsthand.consent.access.askers import KEEPER, Asker
from firsthand.errors import Error, Failed, NotFound, Refused
from firsthand.vault.vault import Vault
from firsthand.web import roles
from firsthand.web.page import ASKER

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
ANYWHERE = frozenset({"", "0.0.0.0", "::"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN = ("/api/", "/healthz", "/static/", "/checkpoint", "/tile/")
# Entries of the log tell when somebody recorded.
CLOSED = ("/tile/entries/",)
PUBLIC = "/seen"  # for whoever was filmed: without a key, and without a trace of who asked
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self';"
        " media-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Nothing goes to other sites. "no-referrer" would also make browsers send "Origin: null" with
    # our own forms, by which they are told from another site's.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
Show = Callable[[Request, Error], Response]


class KeyNeeded(Refused):
    """The page was asked for without the access key."""

    http_status = 401


class Guard:
    """ASGI middleware; `show` turns an error into an answer."""

    def __init__(self, app: ASGIApp, vault: Vault, access_key: str | None, show: Show) -> None:
        settings: Settings = vault.settings
        self._app = app
        self._vault = vault
        self._show = show
        self._hosts = LOOPBACK | {settings.host, urlparse(settings.vault).hostname or ""}
        self._hosts -= ANYWHERE
        # A rebound name is never an IP address; so a server on all addresses takes any address.
        self._any_address = settings.host in ANYWHERE
        self._key = access_key
        digest = askers.cookie(access_key or "")
        # Named by the key: cookies know no ports, and two vaults may run on one machine.
        self._cookie = (f"firsthand-{digest[:8]}", digest)
        origin = hashlib.sha256(vault.origin.encode()).hexdigest()
        self._named = f"firsthand-as-{origin[:8]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope, receive)
        try:
            # A device's request waits for no thread here: its signature is checked later.
            quick = request.url.path.startswith(OPEN)
            answer = (
                self._check(request) if quick else await run_in_threadpool(self._check, request)
            )
            ASKER.set(scope.get("state", {}).get("asker", KEEPER))
            await (answer or self._app)(scope, receive, send_with_headers)
        except ClientDisconnect:
            return
        except Exception as error:
            if begun:
                raise
            if not isinstance(error, Error):
                logging.getLogger("firsthand.web").exception("unexpected error")
                error = Failed("something went wrong here", "the server's own output says what")
            await self._show(request, error)(scope, receive, send_with_headers)

    def _check(self, request: Request) -> Response | None:
        """None to let a request in, or an answer instead; Refused."""
        host = _host(request.headers)
        if host not in self._hosts and not (self._any_address and _is_address(host)):
            raise Refused(
                f"this server is not called {host[:80]!r}", "set its address as vault_url or host"
            )
        path = request.url.path
        if path.startswith(OPEN) and not path.startswith(CLOSED):
            return None
        if request.method not in SAFE and not _same_origin(request.headers):
            raise Refused("this came from another site", "use the page's own buttons")
        if path == PUBLIC:
            return None
        asker, answer = (KEEPER, None) if self._key is None else self._key_check(request)
        if answer is not None:
            return answer
        home = roles.home_of(asker)
        if path == "/" and home != "/":
            return RedirectResponse(home, 303)
        roles.require(asker, request.method, path, self._keyed)
        request.scope.setdefault("state", {})["asker"] = asker
        return None

    def _keyed(self, person: str) -> bool:
        """Whether a person of this name or id has a key of their own."""
        with self._vault.db.read() as connection:
            try:
                return askers.has_key(connection, people.find(connection, person).id)
            except NotFound:
                return False

    def _key_check(self, request: Request) -> tuple[Asker, Response | None]:
        """Who asks, by cookie or bearer; or an answer that exchanges a key for its cookie."""
        name, digest = self._cookie
        # A scraper keeps no cookie. Browsers send this header by themselves to nobody.
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and bearer.strip():
            if hmac.compare_digest(bearer.strip().encode(), (self._key or "").encode()):
                return KEEPER, None
            asker = self._asker(askers.cookie(bearer.strip()))
            if asker is None:
                raise _key_needed()
            return asker, None
        given = request.query_params.get("key", "")
        if given:
            if not hmac.compare_digest(given.encode(), (self._key or "").encode()):
                name, digest = self._named, askers.cookie(given)
                if self._asker(digest) is None:
                    raise _key_needed()
            query = parse_qsl(request.url.query, keep_blank_values=True)
            rest = urlencode([(key, value) for key, value in query if key != "key"])
            # Two slashes in front would lead to another host.
            path = "/" + request.url.path.lstrip("/")
            answer = RedirectResponse(path + ("?" + rest if rest else ""), 303)
            secure = request.url.scheme == "https"
            answer.set_cookie(name, digest, httponly=True, samesite="strict", secure=secure)
            return KEEPER, answer
        # A named key goes before the keeper's: whoever used both in one browser means the former.
        asker = self._asker(request.cookies.get(self._named, ""))
        if asker is not None:
            return asker, None
        if hmac.compare_digest(request.cookies.get(name, "").encode(), digest.encode()):
            return KEEPER, None
        raise _key_needed()

    def _asker(self, cookie: str) -> Asker | None:
        if not cookie:
            return None
        with self._vault.db.read() as connection:
            return askers.by_cookie(connection, cookie)


def _key_needed() -> KeyNeeded:
    return KeyNeeded(
        "these pages need the access key",
        "open the address that the server printed, or the one given to you, with ?key= in it",
    )


def _host(headers: Headers) -> str:
    try:
        return urlparse("//" + headers.get("host", "")).hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _same_origin(headers: Headers) -> bool:
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return urlparse(headers.get("origin", "")).netloc == headers.get("host", "-")
