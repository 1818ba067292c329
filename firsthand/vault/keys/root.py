"""The root: one small interface, and which implementation a setting names.

A root key R is 32 bytes, made anew for each epoch. What differs is who keeps it sealed in between:
a file under a passphrase, HashiCorp Vault's Transit engine, or AWS KMS.
"""

from pathlib import Path
from typing import Protocol

from firsthand.errors import Usage
from firsthand.vault.keys.passphrase import PassphraseRoot

FILE = "file:"
_KNOWN = (
    'known are "file:", "transit:https://HOST:8200/KEY" and '
    '"aws-kms:arn:aws:kms:REGION:ACCOUNT:alias/NAME"'
)


class Root(Protocol):
    """Keeps the root keys of a vault sealed, one for each epoch."""

    local: bool  # opens without asking anyone
    lag_ns: int  # how long a destroyed key may still be called back

    def make(self, epoch: int) -> tuple[bytes, str]:
        """A new key for an epoch, and the word by which it is opened again; Unavailable."""

    def open(self, epoch: int, sealed: str) -> bytes:
        """The key of an epoch; NotFound once destroyed, WrongKey, Unavailable."""

    def destroy(self, epoch: int, sealed: str, now_ns: int) -> int:
        """Destroys what opens an epoch's key, and says when it is gone for good (ns).

        Destroying it again changes nothing.
        """


def open_root(url: str, folder: Path, passphrase: str) -> Root:
    """The root that a setting names; Usage. It is asked nothing yet."""
    kind, _, rest = url.partition(":")
    if url == FILE:
        return PassphraseRoot(folder, passphrase)
    if kind == "transit" and rest:
        from firsthand.vault.keys.transit import TransitRoot  # hvac is an extra: [kms]

        return TransitRoot(rest)
    if kind == "aws-kms" and rest:
        from firsthand.vault.keys.aws_kms import AwsKmsRoot  # boto3 is an extra: [kms]

        return AwsKmsRoot(rest)
    raise Usage(f"root is {url!r}, which names no root", _KNOWN)
