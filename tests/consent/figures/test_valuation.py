"""Who may know what data are worth, and who is told that they asked."""

import pytest

from firsthand import log
from firsthand.consent.access import askers
from firsthand.consent.figures import valuation
from firsthand.errors import Refused


@pytest.mark.parametrize("role", [*sorted({*askers.ROLES} - {"governance"}), "keeper"])
def test_nobody_but_governance_may_know(connection, ana, now_ns, role):
    size = log.size(connection)
    asker = askers.Asker("k-1", "somebody", role)
    with pytest.raises(Refused, match="may not know"):
        valuation.begin(connection, asker, "x-1", "a method", [ana.id], now_ns)
    assert log.size(connection) == size


def test_everybody_in_the_release_reads_who_asked_and_the_log_says_how(
    connection, ana, ben, now_ns
):
    asker, _ = askers.give(connection, "board", "governance", now_ns=now_ns)
    index = valuation.begin(connection, asker, "x-1", "a method", [ana.id], now_ns)
    (entry,) = log.read(connection, start=index)
    told = {"release": "x-1", "method": "a method", "key": asker.id, "people": 1, "v": 2}
    assert (entry.kind, entry.public) == ("valuation_begun", told)
    (mine,) = [each for each in log.read(connection, ana.id) if each.kind == "data_valued"]
    assert mine.private["who"] == "board"
    assert not [each for each in log.read(connection, ben.id) if each.kind == "data_valued"]
