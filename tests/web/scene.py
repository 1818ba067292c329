"""A small household in a vault: two wearers, two days, gaps of every kind, a run and answers."""

import base64
import hashlib
from typing import Any

import film
import wearers
from rig import MINUTE_NS, START_NS, FakeDevice

from firsthand.consent import erasure, people
from firsthand.consent.capture import withhold
from firsthand.consent.runs import answers, proposals
from firsthand.consent.terms import consents
from firsthand.segment import pack_events
from firsthand.vault import erase, ingest
from firsthand.vault.vault import Vault

ACTS = ("fill kettle", "pour tea", "open window", "wash cup", "read book")
DAY_NS = 1440 * MINUTE_NS


def store(device: FakeDevice, content: dict[str, Any], joined: bytes) -> None:
    """Hands a segment to the vault without HTTP."""
    with device.vault.db.read() as connection:
        enrolled = people.find_device(connection, device.id)
    opened = ingest.open_upload(device.vault, enrolled, content["envelope"], content["headers"])
    if "receipt" in opened:
        return
    for part in ingest.missing_parts(device.vault, opened["upload"], device.id)[1]:
        query = dict(pair.split("=") for pair in part["url"].split("?")[1].split("&"))
        md5 = base64.b64encode(hashlib.md5(joined).digest()).decode()
        where = (opened["upload"], part["number"], int(query["expires"]), query["mac"])
        ingest.put_part(device.vault, *where, joined, md5)
    ingest.complete(device.vault, opened["upload"], device.id)


def minute(device: FakeDevice, start_ns: int, number: int, seconds: int = 60) -> None:
    """One recorded minute with video, still and labels."""
    boot_ns = start_ns - START_NS + 5 * 10**9
    events = [
        {
            "start_ns": boot_ns + at * 10**9,
            "stop_ns": boot_ns + (at + 5) * 10**9,
            "fields": dict(zip(("verb", "noun"), ACTS[(number + at) % 5].split(), strict=True)),
        }
        for at in range(2, seconds - 5, 9)
    ]
    events.append({"start_ns": boot_ns, "stop_ns": boot_ns + 1, "fields": {"face": "1,2,3,4"}})
    files = {
        "video": film.video(seconds, number % 3),
        "still": film.still(number % 12),
        "events": pack_events(events),
    }
    length_ns = seconds * 10**9
    store(device, *device.segment(start_ns, files, length_ns, frames=seconds * film.FPS))


def household(vault: Vault) -> dict[str, Any]:
    """Fills a vault; returns the ids that the tests speak of."""
    ana, bo = vault.add_person("ana", "sim"), vault.add_person("bo", "")
    glasses = FakeDevice(vault, ana, "d-glasses")
    for number in range(12):
        if number == 5:
            span = START_NS + number * MINUTE_NS
            store(glasses, *glasses.segment(span, {}, 3 * MINUTE_NS, reason="camera lost"))
        at = number if number < 5 else number + 3
        minute(glasses, START_NS + at * MINUTE_NS, number)
    store(glasses, *glasses.segment(START_NS + 18 * MINUTE_NS, {}, 4 * MINUTE_NS, reason="asleep"))
    for number in range(6):
        minute(glasses, START_NS + DAY_NS + (70 + number) * MINUTE_NS, number)
    proposal = proposals.Proposal(
        "A model of the household",
        ("fh:train-general-model", "fh:emulate-self"),
        "decoder-only, 10 million weights",
        "the wearers and nobody else",
        365,
    )
    with vault.db.write() as connection:
        consent = consents.give(
            connection, ana, ["train-general-model", "emulate-self"], ["DUO:0000046"]
        )
        wearers.prepare(connection, bo)
        consents.give(connection, bo, ["human-view"])
        kept = withhold.withhold(
            connection, ana, START_NS + 9 * MINUTE_NS + 20 * 10**9, START_NS + 11 * MINUTE_NS
        )
        run = proposals.propose(connection, proposal)
        answers.vote(connection, run, ana, "yes")
        answers.set_rule(connection, bo, "train-general-model", "no")
        order = erasure.order(
            connection, ana, (START_NS + 12 * MINUTE_NS, START_NS + 13 * MINUTE_NS)
        )
    erase.carry_out(vault, order)
    return {"ana": ana, "bo": bo, "run": run, "consent": consent, "kept": kept}
