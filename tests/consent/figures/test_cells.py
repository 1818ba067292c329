from itertools import combinations

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand.consent.figures import cells
from firsthand.consent.figures.tables import published
from firsthand.db import Database

K = 4
NAMES = [f"p{number}" for number in range(40)]
VALUES = "abc"


def told(connection, people):
    """What is told of a crowd: name -> value of one dimension."""
    members = {value: {one for one, what in people.items() if what == value} for value in VALUES}
    members[cells.TOTAL] = set(people)
    counts = {cell: len(who) for cell, who in members.items()}
    return cells.publish(connection, "shape", members, counts, 1, K), members


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 30)), st.integers(1, 12))
def test_no_cell_of_a_few_is_told_nor_left_over_by_the_total(sizes, k):
    secret = cells.hidden(sizes, k)
    assert all(size >= k for cell, size in sizes.items() if cell not in secret)
    left = sum(sizes[cell] for cell in secret)
    assert not secret or secret == set(sizes) or (left >= k and len(secret) > 1)


def test_a_figure_of_nine_people_is_not_told(connection):
    nine, ten = set(NAMES[:9]), set(NAMES[:10])
    for who, value in ((nine, None), (ten, 5.5)):
        found = cells.publish(connection, f"of {len(who)}", {"all": who}, {"all": 5.5}, 1)
        assert found == {"all": value}


def test_two_tables_that_differ_by_one_person_say_the_same(connection):
    crowd = {name: "abc"[number % 3] for number, name in enumerate(NAMES)}
    first, _ = told(connection, crowd)
    without = dict(list(crowd.items())[1:])
    assert told(connection, without)[0] == first
    assert first == {"a": 14, "b": 13, "c": 13, "all": 40}


def test_when_enough_have_changed_a_new_table_is_told(connection):
    crowd = {name: "abc"[number % 3] for number, name in enumerate(NAMES)}
    told(connection, dict(list(crowd.items())[:20]))
    assert told(connection, crowd)[0]["all"] == 40


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=8))
def test_no_two_tables_ever_told_tell_of_a_few_by_difference(tmp_path_factory, crowds):
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('cells')}/a.db")
    with database.write() as connection:
        for crowd in crowds:
            told(connection, crowd)
        tables: dict = {}
        for row in connection.execute(sa.select(published)):
            if row.value is not None:
                tables.setdefault(row.number, {})[row.cell] = set(row.members)
    database.close()
    for one, other in combinations(tables.values(), 2):
        for cell in one.keys() | other.keys():
            apart = len(one.get(cell, set()) ^ other.get(cell, set()))
            assert apart == 0 or apart >= K
    for one in tables.values():
        assert all(len(who) >= K for who in one.values())
