import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand import log
from firsthand.consent import erasure, people
from firsthand.consent.money import formula, ledger
from firsthand.consent.money.statement import statement, verify
from firsthand.consent.money.tables import formulas, postings, transactions
from firsthand.db import Database
from firsthand.errors import Damaged, Refused, Usage

DAY_NS = 86_400 * 10**9
NOW_NS = 1_793_520_000 * 10**9  # 2026-11-01 08:00:00 UTC


@pytest.fixture
def ada(connection):
    return people.add(connection, "ada", now_ns=NOW_NS)


def paying(connection, cents=300, units=1000, begins="2026-11-02"):
    return formula.publish(connection, begins, cents, units, now_ns=NOW_NS)


def test_an_hour_is_worth_what_the_formula_of_its_day_says(connection, ada):
    paying(connection)
    ledger.credit_hours(connection, ada, "2026-11-01", 3600, NOW_NS)
    assert ledger.balance(connection, ada.id) == {"cents": 0, "units": 1000}
    ledger.credit_hours(connection, ada, "2026-11-02", 5400, NOW_NS)
    assert ledger.balance(connection, ada.id) == {"cents": 450, "units": 2500}


def test_a_day_is_paid_once_however_often_it_is_credited(connection, ada):
    paying(connection)
    for _ in range(100):
        ledger.credit_hours(connection, ada, "2026-11-02", 3600, NOW_NS)
    assert len(ledger.listed(connection)) == 1
    assert ledger.balance(connection, ada.id)["cents"] == 300


def test_what_comes_late_adds_and_what_is_taken_back_takes_nothing(connection, ada):
    paying(connection)
    for seconds in (1000, 5000, 10, 0, 5000, 7200):
        ledger.credit_hours(connection, ada, "2026-11-02", seconds, NOW_NS)
    assert ledger.balance(connection, ada.id)["cents"] == 600
    assert [one.seconds for one in ledger.listed(connection)] == [1000, 5000, 7200]


@given(st.lists(st.integers(0, 86_400), max_size=12), st.integers(0, 10**6))
def test_in_whatever_pieces_a_day_comes_it_is_worth_the_same(pieces, rate):
    one = formula.Formula(1, "2020-01-01", rate, rate, 25)
    at, total = 0, 0
    for seconds in sorted(pieces):
        total += one.worth(seconds)["cents"] - one.worth(at)["cents"]
        at = seconds
    assert total == one.worth(at)["cents"]
    assert abs(total - rate * at / 3600) <= 0.5 + 1e-6


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("hours"), st.integers(0, 2), st.integers(0, 86_400)),
            st.tuples(st.just("bonus"), st.integers(0, 2), st.integers(0, 500)),
            st.tuples(st.just("pay"), st.integers(0, 2), st.integers(1, 4000)),
            st.tuples(st.just("publish"), st.integers(1, 400), st.integers(0, 900)),
        ),
        max_size=25,
    )
)
def test_the_ledger_sums_to_zero_and_the_log_alone_gives_the_same_statements(
    tmp_path_factory, does
):
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/a.db")
    with database.write() as connection:
        crowd = [people.add(connection, f"p{n}", now_ns=NOW_NS) for n in range(3)]
        for number, (what, who, amount) in enumerate(does):
            try:
                if what == "hours":
                    day = f"2026-11-{2 + number % 20:02}"
                    ledger.credit_hours(connection, crowd[who], day, amount, NOW_NS)
                elif what == "bonus":
                    ledger.credit_bonus(connection, f"r-{number % 4}", crowd[who], amount, NOW_NS)
                elif what == "pay":
                    ledger.pay(connection, crowd[who], amount, f"ref {number}", NOW_NS)
                else:
                    begins = f"2026-11-{2 + number % 20:02}"
                    formula.publish(connection, begins, amount, amount, 25, NOW_NS)
            except (Refused, Usage):
                continue
        everyone = [ledger.PROGRAMME, ledger.PAID, *(one.id for one in crowd)]
        held = {account: ledger.balance(connection, account) for account in everyone}
        for currency in ledger.CURRENCIES:
            assert sum(each[currency] for each in held.values()) == 0
        assert verify(connection)["transactions"] == len(ledger.listed(connection))
        for one in crowd:
            told = statement(connection, one.id)
            assert (told.owed_cents, told.units) == (held[one.id]["cents"], held[one.id]["units"])
            assert told.owed_cents >= 0
    database.close()


def test_a_formula_never_reaches_back(connection):
    for begins in ("2026-11-01", "2026-10-31", "2020-01-01"):
        with pytest.raises(Usage, match="already worth"):
            paying(connection, begins=begins)
    paying(connection, begins="2026-12-01")
    with pytest.raises(Usage, match="already worth"):
        paying(connection, begins="2026-11-20")
    for bad in ("soon", "2026-13-01", ""):
        with pytest.raises(Usage):
            paying(connection, begins=bad)


def test_a_second_formula_changes_no_row_of_the_first(connection, ada):
    ledger.credit_hours(connection, ada, "2026-11-01", 3600, NOW_NS)
    before = connection.execute(sa.select(postings)).all()
    paying(connection, cents=9999)
    ledger.credit_hours(connection, ada, "2026-11-01", 3600, NOW_NS)
    assert connection.execute(sa.select(postings)).all() == before


def test_no_more_is_paid_out_than_was_earned_and_a_reference_is_used_once(connection, ada):
    paying(connection)
    ledger.credit_hours(connection, ada, "2026-11-02", 3600, NOW_NS)
    with pytest.raises(Refused, match="300 cents"):
        ledger.pay(connection, ada, 301, "SEPA 1", NOW_NS)
    ledger.pay(connection, ada, 200, "SEPA 1", NOW_NS)
    ledger.pay(connection, ada, 200, "SEPA 1", NOW_NS)  # told twice
    assert ledger.balance(connection, ada.id)["cents"] == 100
    with pytest.raises(Usage, match="another payout"):
        ledger.pay(connection, ada, 100, "SEPA 1", NOW_NS)
    for cents, reference in ((0, "x"), (-5, "x"), (5, "  ")):
        with pytest.raises(Usage):
            ledger.pay(connection, ada, cents, reference, NOW_NS)


def test_a_bonus_is_paid_once_for_a_run(connection, ada):
    ledger.credit_bonus(connection, "r-1", ada, 50, NOW_NS)
    assert ledger.credit_bonus(connection, "r-1", ada, 50, NOW_NS) is None
    assert ledger.balance(connection, ada.id)["cents"] == 50


def test_withdrawal_and_erasure_take_nothing_and_what_is_owed_can_be_paid(connection, ada):
    paying(connection)
    ledger.credit_hours(connection, ada, "2026-11-02", 3600, NOW_NS)
    change = people.people.update().where(people.people.c.id == ada.id)
    connection.execute(change.values(status="withdrawn"))
    assert ledger.balance(connection, ada.id)["cents"] == 300
    erasure.forget(connection, ada.id)
    assert ledger.balance(connection, ada.id)["cents"] == 300
    gone = people.find(connection, ada.id)
    ledger.pay(connection, gone, 300, "SEPA 9", NOW_NS)
    assert ledger.balance(connection, ada.id)["cents"] == 0
    assert verify(connection) == {"transactions": 2, "erased": 2}


@pytest.mark.parametrize("table", [postings, transactions, formulas])
def test_a_ledger_that_was_altered_is_found(connection, ada, table):
    paying(connection)
    ledger.credit_hours(connection, ada, "2026-11-02", 3600, NOW_NS)
    if table is postings:
        connection.execute(table.update().where(table.c.account == ada.id).values(amount=301))
    elif table is transactions:
        connection.execute(table.update().values(cause="hours of somebody else"))
    else:
        assert statement(connection, ada.id).owed_cents == 300
        connection.execute(table.update().values(cents_per_hour=301))
        assert statement(connection, ada.id).owed_cents == 300  # the log decides
        return
    with pytest.raises(Damaged) as caught:
        verify(connection)
    assert "ledger verify" not in caught.value.hint  # which is what says so
    assert "audit verify" in caught.value.hint


def test_an_entry_that_does_not_follow_the_formula_is_found(connection, ada):
    private = {
        "id": "t-1", "cause": "hours x", "kind": "hours", "day": "2026-11-01", "seconds": 3600,
        "formula": 1, "postings": [["programme", "units", -2000], [ada.id, "units", 2000]],
    }  # fmt: skip
    people.note(connection, "ledger_posted", ada, NOW_NS, private=private)
    with pytest.raises(Damaged, match="formula 1"):
        statement(connection, ada.id)


def test_amounts_are_the_persons_own_in_the_log(connection, ada):
    paying(connection)
    ledger.credit_hours(connection, ada, "2026-11-02", 3600, NOW_NS)
    entry = next(one for one in log.read(connection) if one.kind == "ledger_posted")
    assert set(entry.public) == {"v", "subject", "commitment"}


def test_a_formula_that_pays_by_what_data_are_worth_is_refused(connection):
    """Neither published nor put back from a log: there is no such term."""
    with pytest.raises(TypeError):
        formula.publish(connection, "2026-11-02", 300, 1000, cents_per_nat=5, now_ns=NOW_NS)
    row = {"version": 2, "begins": "2026-11-02", "cents_per_hour": 300, "units_per_hour": 1000}
    row |= {"withheld_percent": 25}
    for term in ("cents_per_nat", "worth_percent", "ethics_approval"):
        with pytest.raises(Refused, match=f"no formula pays by {term}"):
            formula.put(connection, 1, row | {term: 5})
    assert [one.version for one in formula.listed(connection)] == [1]
    formula.put(connection, 1, row)
    assert [one.version for one in formula.listed(connection)] == [1, 2]
