"""Shares of the root (SLIP-39): some of several people together bring a lost root back.

What is shared is a recovery key that stays the same; each epoch's root is sealed to it in a file of
its own, which ends with the epoch. So shares are given out once, and old files open nothing new.
"""

import contextlib
import sqlite3
from pathlib import Path

import sqlalchemy as sa

from firsthand import age
from firsthand.errors import Failed, NotFound, Usage, WrongKey
from firsthand.vault.keys.keyring import Keyring, keys
from firsthand.vault.keys.passphrase import PassphraseRoot, shred, write_private
from firsthand.vault.keys.root import FILE

MOST = 16  # SLIP-39 has no more shares
_HERE = (keys.c.kind == "recovery") & (keys.c.name == "recovery")


def file_of(folder: Path, epoch: int) -> Path:
    """Where the root of an epoch lies sealed to the recovery key: as precious as the root."""
    return folder / f"recovery.{epoch}.age"


def split(keyring: Keyring, count: int, threshold: int) -> list[str]:
    """A new recovery key in `count` shares of words, any `threshold` of which are enough.

    Older shares open nothing any more. The shares are kept nowhere.
    """
    if not 1 <= threshold <= count <= MOST or (threshold == 1 and count > 1):
        raise Usage(
            f"{threshold} of {count} shares cannot be made",
            f"ask for at most {MOST} shares, and for at least two of them to be enough",
        )
    generate = _mnemonic("generate_mnemonics")
    identity = age.Identity.generate()
    group = generate(1, [(threshold, count)], identity.secret)[0]
    row = {"kind": "recovery", "name": "recovery", "person": "", "wrapped": b"", "epoch": 0}
    with keyring.db.read() as connection:
        live = keyring.newest(connection)
        root = keyring.root_key(connection, live)
    _write(file_of(keyring.folder, live), root, identity.recipient)
    with keyring.db.write() as connection:
        connection.execute(keys.delete().where(_HERE))
        connection.execute(keys.insert().values(**row, public=str(identity.recipient)))
    return group


def restore(folder: Path, mnemonics: list[str], passphrase: str) -> int:
    """Brings the root of the newest epoch back under a passphrase; returns the epoch.

    WrongKey unless the shares are of this vault and enough; NotFound without the recovery file.
    """
    combine = _mnemonic("combine_mnemonics")
    try:
        identity = age.Identity(combine(mnemonics))
    except Exception as error:  # the library's own kinds, and what it says of a mistyped word
        raise WrongKey(
            f"these shares do not fit: {error}", "type each share as it was written"
        ) from (error)
    found = sorted(folder.glob("recovery.*.age"), key=lambda file: int(file.name.split(".")[1]))
    if not found:
        raise NotFound(
            f"{folder} has no recovery file, and shares alone open nothing",
            "put back the copy of recovery.N.age that you keep apart from the keyring",
        )
    root = age.decrypt(found[-1].read_bytes(), [identity])
    epoch = int(found[-1].name.split(".")[1])
    PassphraseRoot(folder, passphrase).reseal(epoch, root, passphrase)
    return epoch


def adopted(folder: Path, epoch: int, passphrase: str) -> Keyring:
    """The keyring with the root that was brought back, wherever that had been before; WrongKey."""
    with contextlib.closing(sqlite3.connect(folder / "keyring.db")) as raw, raw:
        raw.execute("UPDATE epoch SET root=?, sealed='' WHERE number=?", (FILE, epoch))
    keyring = Keyring(folder, passphrase)
    keyring.log_key()  # the proof that it is the right root
    return keyring


def seal_root(keyring: Keyring, epoch: int, root: bytes) -> None:
    """Seals a new root to the recovery key, if there is one."""
    recipient = recipient_of(keyring)
    if recipient is not None:
        _write(file_of(keyring.folder, epoch), root, recipient)


def destroy(keyring: Keyring, epoch: int) -> None:
    """Removes what would bring an ended epoch's root back."""
    shred(file_of(keyring.folder, epoch))


def recipient_of(keyring: Keyring) -> age.Recipient | None:
    """The recovery key's public half; None if no shares were made."""
    with keyring.db.read() as connection:
        public = connection.scalar(sa.select(keys.c.public).where(_HERE))
    return age.Recipient.parse(public) if public else None


def _write(file: Path, root: bytes, recipient: age.Recipient) -> None:
    shred(file)
    write_private(file, age.encrypt(root, [recipient]))


def _mnemonic(name: str):  # type: ignore[no-untyped-def]
    try:
        import shamir_mnemonic
    except ModuleNotFoundError as error:
        raise Failed(
            "shares need shamir-mnemonic, which is not installed",
            'run: pip install "firsthand[kms]"',
        ) from error
    return getattr(shamir_mnemonic, name)
