"""What is asked at the vault reaches the device in the answers that it gets anyway."""

import random
from dataclasses import replace

import pytest
from way import InlineLink

from firsthand.asking import Ask, sign_ask
from firsthand.cli import main
from firsthand.consent import people
from firsthand.crypto import SigningKey
from firsthand.errors import Damaged, NotFound, Usage
from firsthand.record.home.upload import carry_home
from firsthand.record.wearer import asked
from firsthand.record.wearer.control import Control
from firsthand.record.wearer.policy import follow, held_policy
from firsthand.vault import account, ask

pytestmark = pytest.mark.files
MINUTE_NS = 60 * 10**9
HOUR_NS = 60 * MINUTE_NS


def carry(pack, served, clock, fault=lambda method, target: "", **options):
    link = InlineLink(pack.device, clock, served, fault)
    given = {"clock": clock, "chance": random.Random(1), "patience_s": 60.0} | options
    return carry_home(pack.card, pack.device, link=link, **given)


def in_order(pack) -> list[int]:
    """The numbers of what is stored, in the order in which it came."""
    return [row.seq for row in sorted(pack.rows().values(), key=lambda row: row.log_index)]


def test_what_is_wanted_comes_home_before_all_else(pack, served, clock, vault, person):
    for minute in range(5):
        pack.capture(start_s=60 * minute)
    begun_ns = clock.now_ns
    with vault.db.write() as connection:
        first, last = begun_ns + 3 * MINUTE_NS, begun_ns + 4 * MINUTE_NS
        ask.want(connection, person, first, last, clock.now_ns)
    done = carry(pack, served, clock)
    assert (done.stored, done.left) == (5, 0)
    assert in_order(pack) == [4, 1, 2, 3, 5]


def test_what_is_taken_back_or_of_another_person_is_not_wanted(pack, served, clock, vault, person):
    other = vault.add_person("other")
    for minute in range(3):
        pack.capture(start_s=60 * minute)
    with vault.db.write() as connection:
        late = (clock.now_ns + 2 * MINUTE_NS, clock.now_ns + 3 * MINUTE_NS)
        ask.want(connection, other, *late, clock.now_ns)
        made = ask.want(connection, person, *late, clock.now_ns)
        assert ask.want(connection, person, *late, clock.now_ns) == made
        ask.take_back(connection, person, made.id)
        with pytest.raises(NotFound):
            ask.take_back(connection, person, made.id)
        with pytest.raises(Usage):
            ask.want(connection, person, late[1], late[0], clock.now_ns)
    carry(pack, served, clock)
    assert in_order(pack) == [1, 2, 3]


def test_the_command_asks_lists_and_takes_back(vault, person, monkeypatch, capsys):
    monkeypatch.setenv("FIRSTHAND_PASSPHRASE", "correct horse")
    data = ["--data", str(vault.settings.data), "vault", "want", "ana"]
    assert main([*data, "2026-11-01T08:00:00", "2026-11-01T08:10:00"]) == 0
    told = capsys.readouterr().out
    assert told.endswith(": 2026-11-01 08:00:00 to 2026-11-01 08:10:00 UTC comes first\n")
    assert main([*data, "--drop", told.partition(":")[0]]) == 0
    assert capsys.readouterr().out == "nothing is wanted first\n"
    assert main([*data, "2026-11-01T08:00:00"]) == 2


def test_what_was_announced_and_not_sent_is_on_the_card(pack, served, clock, vault, person):
    for minute in range(3):
        pack.capture(start_s=60 * minute)
    begun_ns = clock.now_ns

    def no_bytes(method, target):
        return "down" if method == "PUT" else ""

    carry(pack, served, clock, no_bytes, patience_s=2.0)
    with vault.db.read() as connection:
        announced = account.waiting(connection, person.id, clock.now_ns)
        bounds = begun_ns, begun_ns + HOUR_NS
        told = account.account(connection, person.id, *bounds, announced)
    assert told == [account.Stretch("waiting", begun_ns, begun_ns + 3 * MINUTE_NS)]
    carry(pack, served, clock)
    with vault.db.read() as connection:
        assert account.waiting(connection, person.id, clock.now_ns) == []
        told = account.account(connection, person.id, *bounds)
    assert told == [account.Stretch("recorded", begun_ns, begun_ns + 3 * MINUTE_NS)]


def test_a_pause_that_was_left_at_the_vault_is_taken_once(pack, served, clock, vault, person):
    control = Control(pack.device.folder, clock)
    with vault.db.write() as connection:
        ask.ask_to_pause(connection, person, pack.wearer.id, 900, clock.now_ns)
        assert ask.last_asked(connection, pack.wearer.id, clock.now_ns).heard_ns is None
    pack.capture()
    carry(pack, served, clock)
    with vault.db.read() as connection:
        heard_ns = ask.last_asked(connection, pack.wearer.id, clock.now_ns).heard_ns
    assert heard_ns is not None
    assert 0 < control.paused().rest_ns(clock) <= 900 * 10**9
    control.resume()
    clock.sleep(700)
    pack.capture(start_s=60)
    carry(pack, served, clock)  # it is told again, and has done it
    assert control.paused() is None
    with vault.db.write() as connection:
        ask.ask_to_pause(connection, person, pack.wearer.id, 0, clock.now_ns)
    clock.sleep(700)
    pack.capture(start_s=120)
    carry(pack, served, clock)
    assert control.paused().rest_ns(clock) is None


def test_nobody_but_the_vault_asks_and_no_pause_is_made_shorter(pack, clock):
    device, control = pack.device, Control(pack.device.folder, clock)
    key = pack.wearer.vault.keyring.log_key()

    def asking(signing=key, **changes):
        values = {"device": device.name, "number": 1, "pause_s": 60, "asked_ns": clock.now_ns}
        return sign_ask(Ask(**(values | changes)), signing)

    forged = [asking(SigningKey.generate()), asking(device="d9"), asking(pause_s=-1), {}, "ask"]
    for envelope in forged:
        with pytest.raises(Damaged):
            asked.take(device, envelope, clock, clock.now_ns)
    assert asked.take(device, asking(asked_ns=0), clock, clock.now_ns) is None
    assert control.paused() is None
    control.pause(None)
    assert asked.take(device, asking(), clock, clock.now_ns).number == 1
    assert control.paused().rest_ns(clock) is None
    control.resume()
    assert asked.take(replace(device), asking(), clock, clock.now_ns) is None
    assert control.paused() is None


def test_the_next_months_key_comes_with_the_next_contact(pack, served, clock, vault, person):
    pack.capture()
    carry(pack, served, clock)
    first = follow(pack.device)
    clock.now_ns += 31 * 24 * HOUR_NS
    pack.capture(start_s=60)  # still under the old one, and taken all the same
    carry(pack, served, clock)
    second = follow(pack.device)
    assert [held_policy(pack.device).number, len(pack.rows())] == [clock.now_ns // 10**9, 2]
    assert first.recipient != second.recipient
    wanted = vault.keyring.ingest_recipient(person.id, clock.now_ns)
    assert str(second.recipient) == wanted


def test_an_erased_person_is_asked_nothing(pack, clock, vault, person):
    from firsthand.consent import erasure
    from firsthand.vault.erase import carry_out

    with vault.db.write() as connection:
        ask.want(connection, person, 0, 1, clock.now_ns)
        ask.ask_to_pause(connection, person, pack.wearer.id, 0, clock.now_ns)
        order = erasure.order(connection, person, None, clock.now_ns)
    carry_out(vault, order)
    with vault.db.read() as connection:
        assert ask.wanted(connection, person.id, clock.now_ns) == []
        assert ask.last_asked(connection, pack.wearer.id, clock.now_ns) is None
        assert people.find(connection, person.id).status == "erased"
