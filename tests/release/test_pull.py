"""What was kept back since a release was made is in no pull of it, whatever it overlaps."""

import programme
import pytest
from programme import DAY_NS, NOW_NS

from firsthand.consent import people
from firsthand.consent.capture import review, withhold, zones
from firsthand.consent.runs import answers, proposals
from firsthand.release import erase, make, pull
from firsthand.vault import erase as from_vault

SECOND_NS = 10**9


@pytest.fixture
def at():
    opened = programme.begin()
    yield opened
    opened.close()


def pulled(at, release, folder):
    """The people whom a pull of now gives."""
    pull.pull(at.vault, release, folder, "tester")
    grant = (folder / "grant.json").read_text()
    with at.vault.db.read() as connection:
        names = {each.name: make.name_in(connection, release, each.id) for each in at.people}
    return {name for name, there in names.items() if there in grant}


def test_a_shorter_sample_of_a_second_device_hides_no_withheld_interval(at, tmp_path):
    ana = at.people[0]
    second = programme.Wearer(at.vault, ana, "second")
    with at.vault.db.write() as connection:
        people.enrol(connection, ana, "second", second.key.public, NOW_NS)
    plain = {"video": programme.film(5), "events": b"\n"}
    second.hand_in(second.seal(plain, start_s=2.5, length_s=0.5))
    with at.vault.db.write() as connection:
        review.reviewed(connection, ana, now_ns=NOW_NS)
    release = at.release(at.run)
    assert pulled(at, release.id, tmp_path) == {"ana", "ben"}
    with at.vault.db.write() as connection:
        bounds = NOW_NS + 3 * SECOND_NS + 1, NOW_NS + 4 * SECOND_NS
        withhold.withhold(connection, ana, *bounds, NOW_NS)
    assert pulled(at, release.id, tmp_path) == {"ben"}


def test_sound_at_a_place_that_was_said_since_is_in_no_pull(at, tmp_path):
    ana = at.people[0]
    release = at.release(at.run)
    with at.vault.db.write() as connection:
        stay = NOW_NS - DAY_NS, NOW_NS + DAY_NS
        zones.say(connection, ana, "home", *stay, audio=False, now_ns=NOW_NS)
    assert pulled(at, release.id, tmp_path) == {"ben"}
    again = at.release(at.run)
    assert pulled(at, again.id, tmp_path) == {"ana", "ben"}


def test_an_erasure_takes_away_why_its_person_was_left_out(at):
    ben = at.people[1]
    with at.vault.db.write() as connection:
        run = proposals.find(connection, at.run)
        answers.vote(connection, run, ben, "no", NOW_NS)
    release = at.release(at.run)
    assert ben.id in str(release.summary)
    erase.carry_out(at.vault, from_vault.place(at.vault, ben, wait_ns=0))
    with at.vault.db.read() as connection:
        left = make.find(connection, release.id)
    assert left.summary["refused"] == [["", "erased"]]
