"""After a kill, a power cut or a full card: what was open becomes a cut segment, as found.

The device can't open what it sealed, so nothing is mended or shortened: the bytes are hashed as
they lie there, and the record says that they are cut.
"""

import base64
import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

from firsthand.age import NONCE_SIZE
from firsthand.crypto import SLOT
from firsthand.errors import Damaged
from firsthand.record.card.card import Card, card_error, read_json
from firsthand.record.card.replace import set_unreadable_aside
from firsthand.record.card.waiting import hash_file
from firsthand.record.device import Device
from firsthand.record.sealing.chain import Chain, open_chain, owner, parse_name
from firsthand.record.sealing.opening import Opening, read_mark
from firsthand.record.sealing.part import CLOSED, OPEN, describe, hash_object
from firsthand.segment import PARTS, Part, Record


def salvage(card: Card, device: Device) -> list[Record]:
    """Close all that was left open on a card; Locked while a recorder runs."""
    with card.lock("recorder"), open_chain(device) as chain:
        return salvage_all(card, chain)


def salvage_all(card: Card, chain: Chain) -> list[Record]:
    """The same, for a recorder that holds card and chain already."""
    try:
        card.finish_replacing()
        set_unreadable_aside(card, chain.device)
        return [_salvage_one(card, chain, folder) for folder in _ours(card, chain.device)]
    except OSError as error:
        raise card_error(card.path, error) from error


def _ours(card: Card, device: Device) -> Iterator[Path]:
    """What another device, or something else, left there must not keep a wearer from recording."""
    for folder in card.opened():
        with contextlib.suppress(Damaged):
            parse_name(folder.name)
            if owner(folder / "opening.json") in (device.name, ""):
                yield folder


def _salvage_one(card: Card, chain: Chain, folder: Path) -> Record:
    for draft in folder.glob("*.new"):  # of a small file that was being written (durable.py)
        draft.unlink()
    with contextlib.suppress(Damaged):
        return chain.finish(card, folder.name)
    opening, headers, gap_reason = _opening(chain.device, folder)
    parts, paths = [], []
    for name in PARTS:
        found = _found(folder, name, headers)
        if found:
            parts.append(found[0])
            paths.append(found[1])
    if not any(part.name == "video" for part in parts):
        return _commit_gap(card, chain, folder, opening, gap_reason)
    video_size = parts[0].size_bytes
    stop_ns, frames = read_mark(folder, video_size) or (opening.boot_ns_start, 0)
    record = replace(
        opening.record("segment", stop_ns),
        parts=tuple(parts),
        object_sha256=hash_object(paths),
        object_size=sum(part.size_bytes for part in parts),
        frames=frames,
        media=opening.media,
        reason="cut",
        cut=any(part.cut for part in parts),
    )
    return chain.commit(card, folder.name, record)


def _found(folder: Path, name: str, headers: dict[str, bytes]) -> tuple[Part, Path] | None:
    for suffix in (CLOSED, OPEN):
        path = folder / f"{name}{suffix}"
        cut = suffix == OPEN
        if name in headers and path.exists():
            size = path.stat().st_size
            # A cut part without one whole chunk opens to nothing, and is left out.
            if not cut or size >= NONCE_SIZE + SLOT:
                # After a failed fsync the system remembers bytes that the disk never took.
                sha256 = hash_file(path, from_disk=True)
                return describe(name, sha256, size, headers[name], cut), path
            path.unlink()
    return None


def _commit_gap(card: Card, chain: Chain, folder: Path, opening: Opening, reason: str) -> Record:
    """Under this number is no footage: a gap that was open, or not one whole chunk."""
    stop_ns, _ = read_mark(folder, 0) or (opening.boot_ns_start, 0)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in ("opening.json", "mark"):  # what a next try will need
            path.unlink()
    return chain.commit(card, folder.name, replace(opening.record("gap", stop_ns), reason=reason))


def _opening(device: Device, folder: Path) -> tuple[Opening, dict[str, bytes], str]:
    """What was known at the beginning, the headers, and the reason if it's a gap (else "cut")."""
    try:
        data = read_json(folder / "opening.json")
        headers = {name: base64.b64decode(text) for name, text in data["headers"].items()}
        opening = Opening(**{item.name: data[item.name] for item in fields(Opening)})
        return opening, headers, str(data.get("reason", "cut"))
    except (Damaged, KeyError, ValueError):
        # Cut before the first byte of footage: only the number was taken.
        seq, session = parse_name(folder.name)
        bare = Opening(
            device=device.name,
            person=device.person,
            session=session,
            seq=seq,
            boot_ns_start=0,
            wall_offset_ns=0,
            wall_quality="none",
            media={},
            recipient=device.recipient.key_id,
            policy=device.policy,
            checkpoint="",
        )
        return bare, {}, "cut"
