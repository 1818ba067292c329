"""The root in the Transit engine of HashiCorp Vault (or OpenBao): a key version for each epoch.

R itself is random; Transit encrypts it under a version made for its epoch, and the word kept here
is that ciphertext. Ending the epoch trims the version away: the word, kept or not, opens no more.
The token is found by hvac's own means: VAULT_TOKEN, or the file that "vault login" writes.
"""

import base64
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from firsthand.errors import Damaged, Failed, NotFound, Unavailable, Usage, WrongKey

TIMEOUT_S = 10


class TransitRoot:
    """Root keys under one named key of a Transit engine."""

    local = False
    lag_ns = 0  # a trimmed version is gone at once

    def __init__(self, where: str) -> None:
        """`where` is https://HOST:PORT/KEY, or .../MOUNT/KEY if the engine is mounted elsewhere."""
        parts = urlsplit(where)
        mount, _, self._key = parts.path.strip("/").rpartition("/")
        if parts.scheme not in ("http", "https") or not parts.netloc or not self._key:
            raise Usage(f"{where!r} names no key of a Transit engine", "as https://HOST:8200/KEY")
        self._mount = mount or "transit"
        self._url = f"{parts.scheme}://{parts.netloc}"

    def make(self, epoch: int) -> tuple[bytes, str]:
        """A new key under a new version of the Transit key; Unavailable."""
        root = secrets.token_bytes(32)
        with self._asked() as transit:
            try:
                transit.read_key(name=self._key, mount_point=self._mount)
                transit.rotate_key(name=self._key, mount_point=self._mount)
            except _module().exceptions.InvalidPath:  # it is made at its first use
                transit.create_key(name=self._key, key_type="aes256-gcm96", mount_point=self._mount)
            plain = base64.b64encode(root).decode()
            answer = transit.encrypt_data(name=self._key, plaintext=plain, mount_point=self._mount)
        sealed = answer["data"]["ciphertext"]
        _version(sealed)
        return root, sealed

    def open(self, epoch: int, sealed: str) -> bytes:
        """The key of an epoch; NotFound once its version is trimmed, WrongKey, Unavailable."""
        with self._asked() as transit:
            self._require(transit, epoch, sealed)
            answer = transit.decrypt_data(
                name=self._key, ciphertext=sealed, mount_point=self._mount
            )
        root = base64.b64decode(answer["data"]["plaintext"])
        if len(root) != 32:
            raise Damaged(f"Transit gave {len(root)} bytes as the root of epoch {epoch}")
        return root

    def destroy(self, epoch: int, sealed: str, now_ns: int) -> int:
        """Trims the epoch's version, and all older ones, away for good."""
        if not sealed:
            return now_ns
        after = _version(sealed) + 1
        with self._asked() as transit:
            named = {"name": self._key, "mount_point": self._mount}
            held = transit.read_key(**named)["data"]
            if held["latest_version"] < after - 1:
                raise Damaged(
                    f"the Transit key {self._key} has no version {after - 1} to trim",
                    "nothing was changed: was the key put back from a backup?",
                )
            if held["latest_version"] < after:  # the root moves elsewhere: none came after it
                transit.rotate_key(**named)
            # Trimming asks for both to be set and no lower; hvac refuses to set them in one call.
            if held["min_encryption_version"] < after:
                transit.update_key_configuration(**named, min_encryption_version=after)
            if held["min_decryption_version"] < after:
                transit.update_key_configuration(**named, min_decryption_version=after)
            if (held.get("min_available_version") or 0) < after:
                transit.trim_key(**named, min_version=after)
        return now_ns

    def _require(self, transit: Any, epoch: int, sealed: str) -> None:
        """NotFound or WrongKey if the version that sealed this is not there."""
        version = _version(sealed)
        held = transit.read_key(name=self._key, mount_point=self._mount)["data"]
        lowest = max(held["min_decryption_version"], held.get("min_available_version") or 0)
        if version < lowest:
            raise NotFound(f"the root of epoch {epoch} was destroyed in Transit: version {version}")
        if version > held["latest_version"]:
            raise WrongKey(
                f"the Transit key {self._key} has no version {version}",
                "it was put back from an old backup, or is another key of the same name",
            )

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        """The engine; what it or the network answers becomes an error of ours."""
        hvac = _module()
        import requests

        try:
            # One try each: whoever asks decides whether to wait and ask again.
            yield hvac.Client(url=self._url, timeout=TIMEOUT_S).secrets.transit
        except hvac.exceptions.InvalidPath:
            raise NotFound(
                f"the Transit engine at {self._url} has no key {self._key}",
                "nothing was changed; see that root names the right server, mount and key",
            ) from None
        except (hvac.exceptions.Forbidden, hvac.exceptions.Unauthorized) as error:
            raise WrongKey(
                f"{self._url} denies the use of the Transit key {self._key}: {error}",
                "give a token that may use it: VAULT_TOKEN",
            ) from error
        except hvac.exceptions.InvalidRequest as error:
            raise WrongKey(f"Transit does not take this for {self._key}: {error}") from error
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise Unavailable(
                f"the Transit engine at {self._url} does not answer: {error}",
                "nothing was changed; try again when it does",
            ) from error


def _version(sealed: str) -> int:
    found = re.fullmatch(r"vault:v([1-9]\d*):.+", sealed)
    if found is None:
        raise Damaged("the word of this epoch is none of Transit's")
    return int(found[1])


def _module() -> Any:
    try:
        import hvac
    except ModuleNotFoundError as error:
        raise Failed(
            "a root in Transit needs hvac, which is not installed",
            'run: pip install "firsthand[kms]"',
        ) from error
    return hvac
