"""This computer as a person's device: where it lies in the data folder, and its enrolment."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firsthand.cli.vaults import length, when
from firsthand.config import Settings
from firsthand.errors import NotFound, Usage
from firsthand.policy import sign_policy
from firsthand.record.card.card import Card
from firsthand.record.device import Device, create_device, load_device
from firsthand.record.home.carried import last_told
from firsthand.record.wearer.policy import take

if TYPE_CHECKING:
    from firsthand.consent.people import Person
    from firsthand.vault.vault import Vault


def enrol_here(vault: "Vault", person: "Person") -> Device:
    """Makes a device folder with a card for a person, and tells the vault its public key."""
    # A device that is no vault has no server packages.
    from firsthand.consent import people
    from firsthand.vault.policy import policy_of

    name = people.new_id("d")
    device = create_device(
        _folder(vault.settings, name),
        name=name,
        person=person.id,
        vault_url=vault.settings.vault,
        recipient=vault.keyring.ingest_recipient(person.id, vault.now_ns()),
        receipt_key=str(vault.keyring.log_key().public),
    )
    Card.create(device.folder / "card")
    with vault.db.write() as connection:
        enrolled = people.enrol(connection, person, name, device.key.public, vault.now_ns())
    return take(device, sign_policy(policy_of(vault, enrolled), vault.keyring.log_key()))


def local_devices(settings: Settings) -> list[Device]:
    """The devices whose folders lie in this data folder."""
    folder = _folder(settings, "")
    return [load_device(path.parent) for path in sorted(folder.glob("*/device.json"))]


def carrying(settings: Settings) -> list[dict[str, Any]]:
    """What is still on its way home from the devices here, as their carriers said last."""
    told = [(device.name, last_told(device.folder)) for device in local_devices(settings)]
    return [{"device": name, **asdict(each)} for name, each in told if each and each.left]


def carried_line(told: dict[str, Any]) -> str:
    """Why a device's footage is not home yet, and when it will be."""
    line = f"device {told['device']}: {told['left']} on the way home"
    if told["waiting_for"]:
        line += f"; {told['waiting_for']}, until {when(told['until_ns'])}"
    if told["estimate_s"] is not None:
        line += f"; about {length(told['estimate_s'])} to go"
    return line


def device_of(settings: Settings, person: str | None) -> Device:
    """This computer's device of a person (an id), or the only one there is; NotFound or Usage."""
    devices = [item for item in local_devices(settings) if person in (None, item.person)]
    if not devices:
        raise NotFound(
            "this computer is nobody's device yet",
            'enrol it with "firsthand device enrol", or begin a vault: "firsthand person add NAME"',
        )
    if person is None and len(devices) > 1:
        raise Usage("several people use this computer", "say who wears the camera: --person NAME")
    return devices[0]


def _folder(settings: Settings, name: str) -> Path:
    return settings.data / "devices" / name
