"""What data are worth: planted differences are found in order, and nobody's is told among few."""

import time

import numpy as np
import pytest
from lives import release, sample

from firsthand.errors import Damaged, NotFound, Refused, Usage
from firsthand.learn import worth as room
from firsthand.learn.streams import Step, Stream
from firsthand.learn.worth import FEWEST, lives_of, read_cohorts, worth

PEOPLE, DAYS, STEPS, ACTIONS = 12, 10, 40, 24
SECOND_NS = 10**9


def population(seed, people=PEOPLE, shares=None):
    """People of whom a known share of what they did follows ways that all have in common.

    By these, what comes next is told by the two before. The rest is chance, and teaches nothing of
    others. On held-out days everybody follows them.
    """
    chance = np.random.default_rng(seed)
    ways = np.array([chance.permutation(ACTIONS) for _ in range(ACTIONS)])
    shares = np.linspace(0, 1, people) if shares is None else shares
    streams = []
    for number in range(people):
        steps = []
        for day in range(DAYS):
            share = 0.95 if day >= DAYS - 2 else shares[number]
            a, b = chance.integers(0, ACTIONS, 2)
            for at in range(STEPS):
                follows = chance.random() < share
                a, b = b, ways[a, b] if follows else chance.integers(ACTIONS)
                start_ns = (day * 86_400 + at * 10) * SECOND_NS
                steps.append(Step(start_ns, start_ns + SECOND_NS, f"d{day}", (f"act{b}",)))
        streams.append(Stream(f"p{number:02d}", ("action",), (), tuple(steps)))
    return streams, shares


def ranks(values):
    return np.argsort(np.argsort(values)).astype(float)


def rank_correlation(one, other):
    return float(np.corrcoef(ranks(one), ranks(other))[0, 1])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_planted_value_is_found_in_its_order(seed):
    streams, shares = population(seed)
    begun = time.process_time()
    told = {each.unit: each for each in worth(streams)}
    assert time.process_time() - begun < 3
    found = [told[stream.person].nats for stream in streams]
    assert rank_correlation(found, shares) >= 0.8
    best, worst = told[streams[-1].person], told[streams[0].person]
    assert best.low > worst.high
    assert all(each.low <= each.nats <= each.high for each in told.values())
    assert all(each.steps == STEPS * (DAYS - 2) for each in told.values())


def test_taking_somebody_out_leaves_the_rest_as_if_they_had_never_been():
    """Against a count without them from the start, which is what leave-one-out means."""
    streams, _ = population(4, 6)
    told = {each.unit: each.nats for each in worth(streams)}
    lives = room._read(streams)
    for number, left in enumerate(lives.taught):
        losses = []
        for who in (set(lives.taught), set(lives.taught) - {left}):
            counts = room.KneserNey(["before1", "before2"], lives.size)
            for person in who:
                for values, joint in lives.taught[person]:
                    counts.update(values, joint)
            losses.append(room._loss(counts, lives)[lives.person != number].mean())
        assert told[left] == pytest.approx(losses[1] - losses[0], abs=1e-9)


def test_of_two_who_teach_the_same_each_is_worth_little_and_both_are_worth_much():
    streams, _ = population(3, 8, np.r_[np.zeros(6), 1.0, 0])
    twin = streams[6]
    streams[7] = Stream("twin", twin.own, (), twin.steps)
    cohorts = {stream.person: stream.person for stream in streams}
    apart = {each.unit: each.nats for each in worth(streams)}
    together = {
        each.unit: each.nats for each in worth(streams, cohorts | {"p06": "twins", "twin": "twins"})
    }
    assert together["twins"] > 3 * max(apart["p06"], apart["twin"])


def test_nobodys_is_told_among_fewer_than_five_units():
    streams, _ = population(0, FEWEST)
    assert len(worth(streams)) == FEWEST
    with pytest.raises(Refused, match="of 4 units"):
        worth(streams[:4])
    with pytest.raises(Refused, match="of 2 units"):
        worth(streams, {stream.person: f"c{n % 2}" for n, stream in enumerate(streams)})


def test_too_few_days_give_no_interval():
    streams, _ = population(0, FEWEST)
    short = [Stream(s.person, s.own, (), s.steps[:1]) for s in streams]
    with pytest.raises(Usage, match="0 held-out days"):
        worth(short)


def test_a_sealed_releases_labels_are_enough(tmp_path):
    people = [f"w{number}" for number in range(FEWEST)]
    start_ns = 1_767_600_000 * SECOND_NS
    starts = [start_ns + day * 86_400 * SECOND_NS for day in range(2)]
    days = {who: [sample(who, at, 4, at % 7, True) for at in starts] for who in people}
    folder = release(tmp_path / "r", days)
    lives = lives_of(folder)
    assert [life.person for life in lives] == people
    assert lives[0].own == ("verb", "noun")
    assert len(worth(lives)) == FEWEST


def test_cohorts_are_read_from_a_file_of_two_columns(tmp_path):
    file = tmp_path / "cohorts.csv"
    with pytest.raises(NotFound):
        read_cohorts(file)
    file.write_text("person,cohort\nw1,old\nw2,young\n")
    assert read_cohorts(file) == {"w1": "old", "w2": "young"}
    file.write_text("who,which\nw1,old\n")
    with pytest.raises(Damaged):
        read_cohorts(file)
