import math
import random

import pytest

from firsthand.consent.figures.survival import kaplan_meier, median_days, rate


def test_without_censoring_it_is_the_share_that_is_left():
    steps = kaplan_meier([(day, True) for day in (1, 2, 3, 4)])
    assert [step.survival for step in steps] == pytest.approx([0.75, 0.5, 0.25, 0.0])
    assert median_days(steps) == 2


def test_the_published_example_of_remission_times_is_met():
    # 6-MP arm of Freireich et al. (1963), the textbook example: weeks, + still in remission.
    left = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    there = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    steps = kaplan_meier([(t, True) for t in left] + [(t, False) for t in there])
    assert [round(step.survival, 4) for step in steps] == [
        0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482,
    ]  # fmt: skip
    assert [step.at_risk for step in steps] == [21, 17, 15, 12, 11, 7, 6]
    assert all(step.low < step.survival < step.high for step in steps)


def test_who_is_still_there_is_not_counted_as_gone():
    assert kaplan_meier([(10, False)] * 5) == []
    assert median_days([]) is None


def test_a_planted_curve_is_recovered_within_its_interval():
    chance = random.Random(5)
    hits = total = 0
    for _ in range(200):
        spans = []
        for _ in range(120):
            leaves, seen = chance.expovariate(1 / 400), chance.uniform(100, 800)
            spans.append((min(leaves, seen), leaves <= seen))
        step = [one for one in kaplan_meier(spans) if one.day <= 200][-1]
        hits += step.low <= math.exp(-step.day / 400) <= step.high
        total += 1
    assert hits / total >= 0.93


def test_a_planted_deletion_rate_lies_in_its_interval_in_93_of_100_simulations():
    chance = random.Random(7)
    hits = 0
    for _ in range(1000):
        years, true = 40.0, 0.5
        events, at = 0, chance.expovariate(true)
        while at < years:
            events, at = events + 1, at + chance.expovariate(true)
        _, low, high = rate(events, years * 365.25)
        hits += low <= true <= high
    assert hits >= 930


def test_nothing_seen_has_an_interval_too_and_nobody_there_has_none():
    value, low, high = rate(0, 365.25)
    assert (value, low) == (0, 0)
    assert 3.5 < high < 3.9  # exact: 3.69
    assert all(math.isnan(one) for one in rate(0, 0))
