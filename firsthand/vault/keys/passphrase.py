"""The root in a file sealed by a passphrase: what a vault has unless told otherwise.

One file an epoch: root.age, then root.2.age and so on. It is never backed up with the keyring.
"""

import contextlib
import os
import secrets
from pathlib import Path

from firsthand import age
from firsthand.errors import Failed, NotFound, WrongKey


class PassphraseRoot:
    """Root keys in age files in the vault's folder, under one passphrase."""

    local = True
    lag_ns = 0

    def __init__(self, folder: Path, passphrase: str) -> None:
        self._folder, self._passphrase = folder, passphrase

    def file(self, epoch: int) -> Path:
        """Where the root of an epoch lies."""
        return self._folder / ("root.age" if epoch == 1 else f"root.{epoch}.age")

    def make(self, epoch: int) -> tuple[bytes, str]:
        """A new sealed key. The file of a first epoch that is there already stays."""
        file = self.file(epoch)
        if epoch > 1:  # left by a try that was cut off before anything was under it
            file.unlink(missing_ok=True)
        if not file.exists():
            write_private(file, age.encrypt(secrets.token_bytes(32), passphrase=self._passphrase))
        return self.open(epoch, ""), ""

    def open(self, epoch: int, sealed: str) -> bytes:
        """The key of an epoch; NotFound without its file, WrongKey."""
        file = self.file(epoch)
        try:
            return age.decrypt(file.read_bytes(), passphrase=self._passphrase)
        except FileNotFoundError:
            raise NotFound(
                f"{file} is missing, and without it no footage opens",
                f"put back the copy of {file.name} that you keep apart from the keyring, or use "
                'its shares: "firsthand key restore"',
            ) from None
        except WrongKey as error:
            raise WrongKey(
                f"the passphrase does not open {file}", "set FIRSTHAND_PASSPHRASE to the right one"
            ) from error

    def destroy(self, epoch: int, sealed: str, now_ns: int) -> int:
        """Overwrites and removes the file. Flash may keep old blocks: they are sealed still."""
        shred(self.file(epoch))
        return now_ns

    def reseal(self, epoch: int, key: bytes, passphrase: str) -> None:
        """Seals the key of an epoch under another passphrase; the old file is gone after it."""
        file = self.file(epoch)
        fresh = file.with_name(f"{file.name}.new")
        fresh.unlink(missing_ok=True)
        write_private(fresh, age.encrypt(key, passphrase=passphrase))
        fresh.replace(file)
        sync_folder(file.parent)


def passphrase_of(data: Path, given: str, needed: bool = True) -> str:
    """The root's passphrase: the one given, else one kept in the data folder, made for a new vault.

    WrongKey if neither is there and a root is sealed already. Where the root needs no passphrase,
    none is made.
    """
    if given:
        return given
    file = data / "root.passphrase"
    # Asked first, as another process may just be making both, the passphrase before the root.
    sealed = any((data / "vault").glob("root*.age"))
    if not file.exists():
        if sealed:
            raise WrongKey(
                f"the root of {data} is sealed by a passphrase that was not given",
                "set FIRSTHAND_PASSPHRASE",
            )
        if not needed:
            return ""
        write_private(file, secrets.token_urlsafe(24).encode() + b"\n")
    if file.stat().st_mode & 0o077:
        raise Failed(f"{file} can be read by others", f"run: chmod 600 {file}")
    return file.read_text().strip()


def write_private(file: Path, data: bytes) -> None:
    """Writes a file for its owner's eyes, whole and durable; one that is there already stays."""
    fresh = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    with contextlib.suppress(FileExistsError):  # another process was faster: its file counts
        os.link(fresh, file)
    fresh.unlink()
    sync_folder(file.parent)


def shred(file: Path) -> None:
    """Overwrites a file with noise and removes it, durably; one that is not there is gone."""
    try:
        with file.open("r+b") as out:
            out.write(os.urandom(max(1, file.stat().st_size)))
            out.flush()
            os.fsync(out.fileno())
    except FileNotFoundError:
        return
    file.unlink(missing_ok=True)
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
