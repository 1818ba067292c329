"""The page for whoever was filmed: no login, no script, and one answer whatever is true.

Whether anybody was there is looked up after the answer is gone, at the next door that opens. So
neither its bytes nor its time tell anything.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from firsthand.consent.capture import bystanders
from firsthand.errors import Refused, Usage
from firsthand.vault.vault import Vault
from firsthand.web.body import read_form
from firsthand.web.page import render

router = APIRouter(include_in_schema=False)
Form = Annotated[dict[str, str], Depends(read_form)]
# Somebody was filmed a few times a day at most; behind one address may be a whole school.
EACH, ALL, WINDOW_S = 10, 200, 3600.0


class TooOften(Refused):
    """So many requests came from one address, or in all."""

    http_status = 429


class Strangers:
    """Counts the requests of the last hour, by address and in all; kept in memory only."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._seen: deque[tuple[float, str]] = deque()
        self._each: Counter[str] = Counter()
        self._clock_s = clock_s
        self._lock = threading.Lock()

    def require(self, address: str) -> None:
        """Counts one more from this address; TooOften beyond the limits."""
        now_s = self._clock_s()
        with self._lock:
            while self._seen and self._seen[0][0] <= now_s - WINDOW_S:
                self._each[self._seen.popleft()[1]] -= 1
            self._each = +self._each
            if self._each[address] >= EACH or len(self._seen) >= ALL:
                raise TooOften("too many requests came within the hour", "try again later")
            self._seen.append((now_s, address))
            self._each[address] += 1


@router.get("/seen")
def ask_page(code: str = "") -> Response:
    """What this is, and the form."""
    shown = code if code.isalnum() and len(code) <= bystanders.CODE else ""
    return render("seen.html", done=False, code=shown, most=bystanders.MOST_NS // 60 // 10**9)


@router.post("/seen")
def ask(request: Request, form: Form) -> Response:
    """Writes the request down; the answer is one and the same."""
    vault: Vault = request.app.state.vault
    request.app.state.strangers.require(request.client.host if request.client else "")
    start_ns = _time(form.get("day", ""), form.get("from", ""))
    stop_ns = _time(form.get("day", ""), form.get("to", ""))
    words = {name: form.get(name, "") for name in ("code", "place", "words")}
    with vault.db.write() as connection:
        bystanders.ask(connection, start_ns, stop_ns, **words, now_ns=vault.now_ns())
    return render("seen.html", done=True, code="", most=0)


def _time(day: str, clock: str) -> int:
    try:
        at = datetime.fromisoformat(f"{day}T{clock}")
    except ValueError:
        raise Usage("this is no day or time", "go back and write both") from None
    return int(at.replace(tzinfo=UTC).timestamp()) * 10**9
