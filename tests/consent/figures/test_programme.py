"""The figures of a programme, told of its people without a word on who they are."""

import pytest

from firsthand.consent import erasure, people
from firsthand.consent.figures import programme, traits
from firsthand.consent.figures.tables import published

DAY_NS = 86_400 * 10**9
NOW_NS = 1_793_520_000 * 10**9


@pytest.fixture
def crowd(connection):
    return [people.add(connection, f"w{n}", now_ns=NOW_NS) for n in range(36)]


def key(person):
    return person.encode() * 4


def test_what_is_kept_of_a_told_table_names_nobody(connection, crowd):
    value, other = traits.dimensions()["age"][:2]
    for number, one in enumerate(crowd[:23]):
        said = value if number < 12 else other
        traits.say(connection, one, "age", said, key(one.id), NOW_NS)
    told = programme.figures(connection, {}, key, NOW_NS)
    assert told["age"][value]["people"] == 12
    rows = connection.execute(published.select().where(published.c.figure == "age")).all()
    members = {name for row in rows for name in row.members}
    assert len(members) == 36
    assert not members & {one.id for one in crowd}
    again = programme.figures(connection, {}, key, NOW_NS + DAY_NS)
    assert again["age"] == told["age"]
    assert connection.execute(published.select().where(published.c.figure == "age")).all() == rows


def test_an_order_that_was_undone_is_no_end_and_no_deletion(connection, crowd):
    order = erasure.order(connection, crowd[0], None, NOW_NS + DAY_NS, wait_ns=DAY_NS)
    erasure.undo(connection, order.id, NOW_NS + DAY_NS + 1)
    erasure.order_release(connection, "l-1", NOW_NS + DAY_NS)
    told = programme.figures(connection, {}, key, NOW_NS + 10 * DAY_NS)
    assert told["deletion"]["orders_per_person_year"] == 0
    assert told["attrition"]["left"] == 0
