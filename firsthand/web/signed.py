"""Who sent this request: a device, by its signature, once.

The mathematics is in httpsig.py; here are the enrolled keys and the nonces that were seen.
"""

import threading
import time
from collections.abc import Callable, Mapping

from firsthand import httpsig
from firsthand.consent import people
from firsthand.crypto import VerifyKey
from firsthand.errors import Failed, Forged, NotFound, Refused
from firsthand.vault import forged
from firsthand.vault.vault import Vault

# A nonce is kept while its signature could still pass: made up to MAX_AGE_S ahead of our clock.
KEEP_S = 2 * httpsig.MAX_AGE_S
# About 20 MB. Each segment takes two or three signed requests, so this is 100 segments a second.
MAX_NONCES = 150_000


class Busy(Failed):
    """Too much at once; the same request may work later."""

    http_status = 503


class Nonces:
    """The nonces of the last minutes, in memory: each passes once.

    A restart forgets them. What a device may ask for is idempotent, so a replay changes nothing.
    """

    def __init__(
        self, limit: int = MAX_NONCES, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._seen: dict[tuple[str, str], float] = {}
        self._limit = limit
        self._clock_s = clock_s
        self._lock = threading.Lock()

    def spend(self, keyid: str, nonce: str) -> None:
        """Takes a nonce; Refused the second time, Busy if too many are live to remember more."""
        with self._lock:
            now_s = self._clock_s()
            # All live equally long, so the oldest stand first.
            while self._seen and next(iter(self._seen.values())) <= now_s:
                del self._seen[next(iter(self._seen))]
            if (keyid, nonce) in self._seen:
                raise Refused("this request was made before", "sign each request with a new nonce")
            if len(self._seen) >= self._limit:
                raise Busy("the vault is getting too many requests", "try again in some minutes")
            self._seen[keyid, nonce] = now_s + KEEP_S


def authenticate(
    vault: Vault, nonces: Nonces, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> people.Device:
    """The enrolled device that signed this request just now; Refused, Damaged or NotFound.

    A signature that doesn't hold, or is by a key that isn't one any more, is an alarm.
    """
    found: dict[str, people.Device] = {}
    named = forged.STRANGER

    def find_key(keyid: str) -> VerifyKey:
        nonlocal named
        named = keyid
        with vault.db.read() as connection:
            found[keyid] = people.find_device(connection, keyid)
        return found[keyid].key

    now_s = vault.now_ns() // 10**9
    try:
        keyid, nonce = httpsig.verify_request(find_key, method, path, body, headers, now_s)
    except (Forged, Refused, NotFound) as error:
        unwelcome = bool(named) and named not in found  # unknown, or revoked
        if unwelcome or isinstance(error, Forged):
            forged.note(vault, named, error.message)
        raise
    nonces.spend(keyid, nonce)
    return found[keyid]
