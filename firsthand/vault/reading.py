"""Reading footage: the log entry first, the bytes after; closed and erased bytes never.

The wearer reads their own here, a release what it must cut; anybody else comes by `read_view`. A
wearer can be handed the file keys instead, sealed to their own key: the vault then opens nothing.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from firsthand import age
from firsthand.consent import people
from firsthand.consent.access import viewing
from firsthand.consent.access.askers import Asker
from firsthand.consent.capture import bystanders, closed
from firsthand.crypto import unwrap
from firsthand.errors import NotFound, Refused
from firsthand.vault import catalog
from firsthand.vault.vault import Vault, file_key_aad

# Who reads as the wearer: themselves, or the vault's keeper while they have no key of their own.
OWN = ("self", "keeper")
WHY = {
    "withheld": "is withheld by its wearer",
    "held": "is hidden for a bystander",
    "erased": "lies where all was to be erased",
    "review": "is still its wearer's alone to review",
    "place": "was taken where no pictures may be",
    "quarantined": "was recorded while no agreement was in force",
}
PIECE = 4 << 20  # bytes of a payload in memory at once


def read_part(vault: Vault, segment: str, part: str, who: str, why: str) -> bytes:
    """The opened bytes of one part for its wearer; the log says who read it, and why.

    NotFound if it does not exist or was erased. Refused to anybody else: see `read_view`.
    """
    if who not in OWN:
        raise Refused(
            f"segment {segment} is another's, and {who or 'nobody'} may not open it so",
            "ask to see it: firsthand view ask",
        )
    with vault.db.write() as connection:
        found = catalog.find(connection, segment)
        _note(vault, connection, found, part, who=who, why=why)
    return _open(vault, found, part)


def read_look(vault: Vault, segment: str, part: str, who: str, why: str) -> bytes:
    """As `read_part` for a program of the vault's own, which shows nobody what it reads.

    Refused where it is withheld, held or at a closed place. It waits for no review, because neither
    a person nor a model gets it.
    """
    settle(vault)
    with vault.db.write() as connection:
        found = catalog.find(connection, segment)
        person = people.find(connection, found.person)
        bounds = found.start_ns, found.stop_ns
        doors = closed.doors(connection, person, *bounds, vault.now_ns())
        reason = doors.hides(*bounds, ("review",))
        if reason:
            raise Refused(f"segment {segment} {WHY[reason]}")
        _note(vault, connection, found, part, who=who, why=why)
    return _open(vault, found, part)


def read_cut(vault: Vault, segment: str, part: str, run: str) -> bytes:
    """As `read_part` for the making of a release, which must cut what is closed."""
    with vault.db.write() as connection:
        found = catalog.find(connection, segment)
        _note(vault, connection, found, part, who=f"run {run}", why="release")
    return _open(vault, found, part)


def read_view(vault: Vault, asker: Asker, view: str, segment: str, part: str) -> bytes:
    """The opened bytes of one part for somebody else, under a granted view.

    Consent, time box, quota and all that is closed are asked anew each time. Refused, NotFound.
    """
    settle(vault)
    with vault.db.write() as connection:
        granted, found = check_view(vault, connection, asker, view, segment)
        length_ns = found.stop_ns - found.start_ns
        viewing.count(connection, asker, segment, length_ns, vault.now_ns())
        words = f"view {view}: {granted.reason}"
        _note(vault, connection, found, part, who=asker.name, why=words, view=view)
    return _open(vault, found, part)


def settle(vault: Vault) -> None:
    """Hides what waiting requests of bystanders may show; before any door is opened."""
    with vault.db.read() as connection:
        waits = bystanders.waiting(connection)
    if waits:
        with vault.db.write() as connection:
            bystanders.settle(connection, vault.now_ns())


def check_view(
    vault: Vault, connection: Connection, asker: Asker, view: str, segment: str
) -> tuple[viewing.View, catalog.Segment]:
    """The granted view and the segment in it; Refused or NotFound if it may not be opened now."""
    granted = viewing.require(connection, view, asker, vault.now_ns())
    listed = {each.segment.id: each for each in _seen(vault, connection, granted)}
    if segment not in listed:
        raise NotFound(f"segment {segment} is not in view {view}")
    if listed[segment].closed:
        raise Refused(f"segment {segment} {listed[segment].closed}")
    return granted, listed[segment].segment


@dataclass(frozen=True)
class Seen:
    """A segment within a view, and why it is closed, or empty."""

    segment: catalog.Segment
    closed: str


def in_view(vault: Vault, asker: Asker, view: str) -> list[Seen]:
    """The segments that lie wholly within a granted view, by time."""
    settle(vault)
    with vault.db.read() as connection:
        granted = viewing.require(connection, view, asker, vault.now_ns())
        return _seen(vault, connection, granted)


def state(vault: Vault, connection: Connection, view: viewing.View) -> str:
    """In words where a request stands and, once it is granted, how much of it opens now, and why.

    For whoever asked, and for the person; everybody else is told `viewing.state`.
    """
    told = viewing.state(connection, view, vault.now_ns())
    if told == viewing.CLOSED:
        return f"{told}: {viewing.why_closed(connection, view, vault.now_ns())}"
    if told != "open":
        return told
    seen = _seen(vault, connection, view)
    shut = [each.closed for each in seen if each.closed]
    if not seen:
        return "open, but empty: no stored segment lies wholly within its time"
    if not shut:
        return told
    why = f"what is closed {', or '.join(sorted(set(shut)))}"
    left = len(seen) - len(shut)
    return f"open, {left} of {len(seen)} segments: {why}" if left else f"{viewing.CLOSED}: {why}"


def _seen(vault: Vault, connection: Connection, view: viewing.View) -> list[Seen]:
    bounds = view.start_ns, view.stop_ns
    listed = [
        each
        for each in catalog.of_person(connection, view.person, *bounds)
        if each.start_ns >= view.start_ns and each.stop_ns <= view.stop_ns
    ]
    person = people.find(connection, view.person)
    doors = closed.doors(connection, person, *bounds, vault.now_ns())
    return [Seen(each, _why(doors, view, each)) for each in listed]


def _why(doors: closed.Doors, view: viewing.View, segment: catalog.Segment) -> str:
    # In an emergency nobody waits for the review; all else stays closed.
    passed = ("review",) if view.glass else ()
    reason = doors.hides(segment.start_ns, segment.stop_ns, passed)
    loud = segment.record["media"].get("audio_samples")
    if not reason and loud and doors.mutes(segment.start_ns, segment.stop_ns):
        return "has sound where none may be heard"
    return WHY.get(reason, "")


@dataclass(frozen=True)
class Handed:
    """One part for its wearer: `header` and what `payload` gives are together an age file."""

    part: str
    header: bytes
    _vault: Vault
    _object: str
    _offset: int
    _size_bytes: int
    _sealed: bytes = b""  # a part that was cut ends in no last chunk: it is sealed anew, whole

    def payload(self) -> Iterator[bytes]:
        """The sealed bytes, as they lie in the store."""
        if self._sealed:
            yield self._sealed
            return
        for at in range(0, self._size_bytes, PIECE):
            size = min(PIECE, self._size_bytes - at)
            yield self._vault.store.read(self._object, self._offset + at, size)


def hand_over(vault: Vault, segment: str, recipient: age.Recipient) -> list[Handed]:
    """The parts of a segment for its wearer, their file keys sealed to `recipient`.

    The log says to which key before any is given. NotFound if it was erased.
    """
    with vault.db.write() as connection:
        found = catalog.find(connection, segment)
        _require_stored(found)
        names = sorted(catalog.parts_of(connection, segment))
        private = {"segment": segment, "parts": names, "key_id": recipient.key_id}
        person = people.find(connection, found.person)
        people.note(connection, "file_keys_given", person, vault.now_ns(), private=private)
    return [_hand(vault, found, name, recipient) for name in names]


def _hand(vault: Vault, found: catalog.Segment, part: str, to: age.Recipient) -> Handed:
    stored, file_key = _file_key(vault, found, part)
    place = (vault, found.object, stored.offset, stored.size_bytes)
    if not stored.cut:
        return Handed(part, age.seal_header(file_key, [to]), *place)
    header, sealed = age.split(age.encrypt(_open(vault, found, part), [to]))
    return Handed(part, header, *place, sealed)


def _require_stored(found: catalog.Segment) -> None:
    if found.state != "stored" or found.kind != "segment":
        raise NotFound(f"segment {found.id} holds no footage (any more)")


def _note(
    vault: Vault, connection: Connection, found: catalog.Segment, part: str, **said: str
) -> None:
    _require_stored(found)
    person = people.find(connection, found.person)
    private = {"segment": found.id, "part": part} | said
    people.note(connection, "read", person, vault.now_ns(), private=private)


def _open(vault: Vault, found: catalog.Segment, part: str) -> bytes:
    stored, file_key = _file_key(vault, found, part)
    payload = vault.store.read(found.object, stored.offset, stored.size_bytes)
    opener = age.Opener(file_key, io.BytesIO(payload), len(payload), allow_cut=stored.cut)
    return opener.read_all()


def _file_key(vault: Vault, found: catalog.Segment, part: str) -> tuple[catalog.StoredPart, bytes]:
    stored = _find_part(vault, found, part)
    try:
        day_key = vault.keyring.day_key(found.person, found.day, stored.generation)
    except NotFound:
        # The erasure of another segment of this day may just have moved this one to a new key.
        stored = _find_part(vault, found, part)
        day_key = vault.keyring.day_key(found.person, found.day, stored.generation)
    aad = file_key_aad(found.person, found.day, found.id, part, stored.payload_sha256)
    return stored, unwrap(day_key, stored.file_key or b"", aad)


def _find_part(vault: Vault, found: catalog.Segment, part: str) -> catalog.StoredPart:
    with vault.db.read() as connection:
        stored = catalog.parts_of(connection, found.id).get(part)
    if stored is None or stored.file_key is None:
        raise NotFound(f"segment {found.id} has no {part}")
    return stored
