"""Epochs: at most 30 days under one root, then every key above the file keys is renewed.

Each volunteer key V is made anew, all that it wraps is wrapped again, and once everything was
verified the old root is destroyed. An old copy of the keyring then opens nothing, with whatever
keys there are today: what was erased is gone from the copies too. It can be cut off at any
instant: until the end both roots are there, and running it again finishes it.
"""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.crypto import Wrapping
from firsthand.errors import Damaged, Locked, WrongKey
from firsthand.vault.keys import shares
from firsthand.vault.keys.keyring import (
    UNDER_ROOT,
    UNDER_VOLUNTEER,
    Epoch,
    Keyring,
    aad_of,
    epochs,
    keys,
)

LONGEST_NS = 30 * 86_400 * 10**9
_BATCH = 10_000
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class State:
    """Where a keyring stands."""

    epoch: int
    began_ns: int
    ends_ns: int  # at the latest
    rotating: bool  # a rotation was begun and not ended

    def overdue(self, now_ns: int) -> bool:
        """Whether the epoch has lasted too long, or a rotation waits to be finished."""
        return self.rotating or now_ns > self.ends_ns


def state(keyring: Keyring) -> State:
    """The epoch of now, and until when it may last."""
    live = [epoch for epoch in keyring.epochs() if epoch.ended_ns is None]
    began_ns = live[-1].began_ns
    return State(live[-1].number, began_ns, live[0].began_ns + LONGEST_NS, len(live) > 1)


def rotate(keyring: Keyring, progress: Progress | None = None) -> list[Epoch]:
    """Ends the epoch and begins the next, or finishes what was begun; returns what ended now.

    `progress` is told (people done, people in all). Locked while another process does it.
    """
    with _alone(keyring):
        if not state(keyring).rotating:
            _begin(keyring)
        newest = keyring.epochs()[-1].number
        people = _behind(keyring, newest)
        for number, person in enumerate(people, 1):
            _renew(keyring, person, newest)
            if progress is not None:
                progress(number, len(people))
        _rewrap_rest(keyring, newest)
        verify(keyring)
        return _end(keyring, newest)


def verify(keyring: Keyring) -> int:
    """Opens every key as the newest epoch has it; returns how many. Damaged if one does not."""
    count = 0
    with keyring.db.read() as connection:
        newest = keyring.newest(connection)
        root = Wrapping(keyring.root_key(connection, newest))
        rows = connection.execute(sa.select(keys).where(keys.c.kind.in_(UNDER_ROOT))).all()
        for row in rows:
            if row.epoch != newest:
                raise Damaged(f"the {row.kind} key of {row.name} is not in epoch {newest} yet")
            plain = _opened(root, row.kind, row.name, row.wrapped)
            count += 1
            if row.kind == "volunteer":
                count += _verify_person(connection, row.person, Wrapping(plain))
    return count


def _verify_person(connection: Connection, person: str, volunteer: Wrapping) -> int:
    count = 0
    for _, kind, name, wrapped in _wrapped_of(connection, person):
        _opened(volunteer, kind, name, wrapped)
        count += 1
    return count


def _begin(keyring: Keyring) -> None:
    """The next epoch, with a root of its own: what is new is wrapped by it from now on."""
    number = keyring.epochs()[-1].number + 1
    with keyring.db.read() as connection:
        keyring.root_key(connection, number - 1)  # else nothing could be moved from under it
    # Outside of any transaction: nobody waits for a key service that is slow.
    keeper = keyring.keeper(keyring.root)
    key, sealed = keeper.make(number)
    if keeper.open(number, sealed) != key:
        raise Damaged("the new root does not open again", "nothing was changed")
    shares.seal_root(keyring, number, key)
    epoch = Epoch(number, keyring.root, sealed, keyring.now_ns(), None, None, None)
    with keyring.db.write() as connection:
        connection.execute(epochs.insert().values(**vars(epoch)))


def _behind(keyring: Keyring, newest: int) -> list[str]:
    with keyring.db.read() as connection:
        query = sa.select(keys.c.person).where(keys.c.kind == "volunteer", keys.c.epoch < newest)
        return list(connection.scalars(query.order_by(keys.c.person)))


def _renew(keyring: Keyring, person: str, newest: int) -> None:
    """A new V for one person, and all that it wraps under it, in one commit."""
    with keyring.db.write() as connection:
        where = (keys.c.kind == "volunteer") & (keys.c.name == person)
        row = connection.execute(sa.select(keys).where(where)).first()
        if row is None or row.epoch == newest:  # erased meanwhile
            return
        root = keyring.root_key(connection, row.epoch)
        old = Wrapping(_opened(Wrapping(root), "volunteer", person, row.wrapped))
        plain = secrets.token_bytes(32)
        new = Wrapping(plain)
        fresh = [
            (_moved(old, new, kind, name, wrapped), place)
            for place, kind, name, wrapped in _wrapped_of(connection, person)
        ]
        if fresh:
            connection.exec_driver_sql("UPDATE wrapped_key SET wrapped=? WHERE rowid=?", fresh)
        over = Wrapping(keyring.root_key(connection, newest))
        sealed = over.wrap(plain, aad_of("volunteer", person))
        connection.execute(keys.update().where(where).values(wrapped=sealed, epoch=newest))


def _rewrap_rest(keyring: Keyring, newest: int) -> None:
    """Release keys and the log key stay what they are, under the new root."""
    while True:
        with keyring.db.write() as connection:
            query = sa.select(keys).where(keys.c.kind.in_(UNDER_ROOT), keys.c.epoch < newest)
            rows = connection.execute(query.limit(_BATCH)).all()
            over = Wrapping(keyring.root_key(connection, newest))
            for row in rows:
                under = Wrapping(keyring.root_key(connection, row.epoch))
                sealed = _moved(under, over, row.kind, row.name, row.wrapped)
                where = (keys.c.kind == row.kind) & (keys.c.name == row.name)
                connection.execute(keys.update().where(where).values(wrapped=sealed, epoch=newest))
        if not rows:
            return


def _end(keyring: Keyring, newest: int) -> list[Epoch]:
    """Destroys every older root: nothing is under it any more."""
    ended = []
    for epoch in keyring.epochs():
        if epoch.number == newest or epoch.ended_ns is not None:
            continue
        now_ns = keyring.now_ns()
        gone_ns = keyring.keeper(epoch.root).destroy(epoch.number, epoch.sealed, now_ns)
        shares.destroy(keyring, epoch.number)
        values = {"ended_ns": now_ns, "gone_ns": gone_ns, "sealed": ""}
        with keyring.db.write() as connection:
            where = epochs.c.number == epoch.number
            connection.execute(epochs.update().where(where).values(**values))
            keyring.newest(connection)
        ended.append(Epoch(**(vars(epoch) | values)))
    keyring.db.compact()
    return ended


def _wrapped_of(connection: Connection, person: str) -> Sequence[tuple[int, str, str, bytes]]:
    marks = ", ".join("?" for _ in UNDER_VOLUNTEER)
    query = "SELECT rowid, kind, name, wrapped FROM wrapped_key WHERE person=? AND kind IN"
    given = (person, *UNDER_VOLUNTEER)
    # Plain tuples, by their place: with SQLAlchemy's own rows it took twice as long.
    return connection.exec_driver_sql(f"{query} ({marks})", given).cursor.fetchall()


def _moved(old: Wrapping, new: Wrapping, kind: str, name: str, wrapped: bytes) -> bytes:
    plain = _opened(old, kind, name, wrapped)
    sealed = new.wrap(plain, aad_of(kind, name))
    if _opened(new, kind, name, sealed) != plain:
        raise Damaged(f"the {kind} key of {name} came out wrong", "test this machine's memory")
    return sealed


def _opened(over: Wrapping, kind: str, name: str, wrapped: bytes) -> bytes:
    try:
        return over.unwrap(wrapped, aad_of(kind, name))
    except (WrongKey, Damaged):
        raise Damaged(
            f"the {kind} key of {name} does not open, so no root is destroyed",
            "put back the newest copy of keyring.db, then rotate again",
        ) from None


@contextmanager
def _alone(keyring: Keyring) -> Iterator[None]:
    handle = os.open(keyring.folder / "rotate.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Locked("another process renews the keyring just now", "wait for it") from None
    finally:
        os.close(handle)
