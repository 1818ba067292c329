"""What `firsthand status` tells at a vault: everybody's footage, the devices, what needs a hand."""

from dataclasses import asdict
from typing import Any

from firsthand import log
from firsthand.cli import invocation
from firsthand.cli.device import members_table, require_heard
from firsthand.cli.locally import carried_line, carrying, local_devices
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import count, length, opened, when
from firsthand.consent import erasure, people
from firsthand.consent.capture import withhold
from firsthand.consent.runs import proposals
from firsthand.record.card.card import Card
from firsthand.record.sealing.chain import parse_name
from firsthand.release import make
from firsthand.vault import catalog, fleet, forged, fork
from firsthand.vault.keys import epochs
from firsthand.vault.vault import Vault

ROTATE = 'erased footage still opens with old copies until "firsthand key rotate"'


def show(json_: bool) -> None:
    """Prints it; Failed at last, naming them, if devices have been silent too long."""
    with opened() as vault:
        told = overview(vault)
        with vault.db.read() as connection:
            devices = fleet.members(connection, vault.now_ns())
    told["devices"] = [vars(item) for item in devices]
    if json_:
        show_json(told)
        require_heard(devices)
        return
    rows = [
        [
            row["name"],
            row["status"],
            row["segments"],
            length(row["stored_s"]),
            row["waiting"],
            row["missing_records"],
            length(row["withheld_s"]),
            when(row["last_ns"]),
        ]
        for row in told["people"]
    ]
    columns = ["person", "status", "segments", "stored", "waiting", "lost", "withheld", "last"]
    table(columns, rows, right="segments waiting lost")
    if devices:
        members_table(devices)
    for name in told["flagged_devices"]:
        say(f"device {name} signed two different records of one number: its key may be copied")
    for each in told["forged"]:
        say(_forged(each))
    for row in told["people"]:
        if row["overdue_records"]:
            say(f"{row['name']}: {count(row['overdue_records'], 'record')} missing for over a week")
    for each in told["carrying"]:
        say(carried_line(each))
    runs_, releases_ = count(told["runs"], "run"), count(told["releases"], "release")
    say(f"{runs_}, {releases_}, {count(told['log_entries'], 'log entry', 'log entries')}")
    if told["erasures_due"]:
        due = count(told["erasures_due"], "erasure")
        say(f'{due} to be carried out: "firsthand vault sweep", or "firsthand serve" does it')
    if told["epoch"]["overdue"]:
        say(f"key epoch {told['epoch']['epoch']} is overdue: {ROTATE}")
    for folder, why in told["keyring_copies_failed"].items():
        say(f"the copy of the keyring in {folder} is not up to date: {why}")
    if told["passphrase_beside_data"]:
        say(
            "the root's passphrase lies beside the data: move root.passphrase to a safe place and "
            "set FIRSTHAND_PASSPHRASE"
        )
    require_heard(devices)


def overview(vault: Vault) -> dict[str, Any]:
    """What `status --json` prints."""
    waiting: dict[str, list[int]] = {}
    for device in local_devices(vault.settings):
        on_card = [
            parse_name(item.folder.name)[0] for item in Card(device.folder / "card").waiting()
        ]
        waiting.setdefault(device.person, []).extend(on_card)
    with vault.db.read() as connection:
        rows = [
            _person(connection, person, waiting.get(person.id, []))
            for person in people.listed(connection)
        ]
        counts = {
            "runs": len(proposals.listed(connection)),
            "releases": sum(item.state == "made" for item in make.listed(connection)),
            "log_entries": log.size(connection),
            "flagged_devices": fork.flagged(connection),
            "forged": [asdict(each) for each in forged.alarms(connection, vault.now_ns())],
            "erasures_due": len(erasure.due(connection, vault.now_ns())),
        }
        for row in rows:
            late = catalog.overdue_records(connection, row["id"], vault.now_ns())
            row["overdue_records"] = len(late)
    beside = (invocation.settings().data / "root.passphrase").exists()
    state = epochs.state(vault.keyring)
    epoch = {"epoch": state.epoch, "ends_ns": state.ends_ns}
    epoch["overdue"] = state.overdue(vault.now_ns())
    told = {"people": rows, "carrying": carrying(vault.settings), **counts, "epoch": epoch}
    told["keyring_copies_failed"] = dict(vault.keyring.copies.failed)
    return told | {"passphrase_beside_data": beside}


def _forged(alarm: dict[str, Any]) -> str:
    name = f"device {alarm['device']}" if alarm["device"] else "devices that are not enrolled"
    minutes = count(alarm["minutes"], "minute")
    return f"wrongly signed in the name of {name}, in {minutes}, last {when(alarm['last_ns'])}"


def _person(connection: Any, person: people.Person, waiting: list[int]) -> dict[str, Any]:
    stored = catalog.spans(connection, person.id)
    kept_back = [(item.start_ns, item.stop_ns) for item in withhold.of(connection, person.id)]
    withheld_ns = sum(
        (segment.stop_ns - segment.start_ns)
        - sum(b - a for a, b in withhold.subtract(segment.start_ns, segment.stop_ns, kept_back))
        for segment in stored
    )
    return {
        "id": person.id,
        "name": person.name,
        "status": person.status,
        "segments": len(stored),
        "stored_s": sum(segment.duration_s for segment in stored),
        "stored_bytes": sum(segment.size_bytes for segment in stored),
        "waiting": len(waiting),
        "missing_records": catalog.missing_records(connection, person.id, waiting),
        "withheld_s": withheld_ns / 1e9,
        "last_ns": max((segment.stop_ns for segment in stored), default=None),
    }
