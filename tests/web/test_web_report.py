"""The report: it stands alone, says what it knows, and claims nothing that it doesn't."""

import re

import pytest

from firsthand.web.report import render_report

SUMMARY = {
    "people": 4,
    "segments": 160,
    "footage_s": 9600.0,
    "bytes_recorded": 52_000_000,
    "bytes_stored": 52_000_000,
    "link_breaks": 3,
    "lost_s": 0.0,
    "withheld_s": 90.0,
    "refused_people": ["dora <b>"],
    "release": {
        "people": 3,
        "samples": 742,
        "footage_s": 7100.0,
        "scrubber": "hides 80 of 80 labelled faces (recall 1.000)",
    },
    "rejected": [{"file": "bad.mp4", "error": "holds no picture"}],
    "wall_s": 201.3,
}
EVALUATION = {
    "people": 3,
    "steps": 2,
    "target": "action",
    "classes": 31,
    "nats_per_action": 1.62,
    "nats_per_own_slot": 0.8,
    "network_alone": 1.93,
    "baselines": {"uniform": 3.43, "unigram": 2.9, "ngram": 1.88, "repeat_last": 2.7},
    "oracle": 1.41,
    "excess": 0.21,
    "recovered": 0.859,
    "history_gain": {"nats": 0.18, "low": 0.12, "high": 0.25},
    "top1": 0.52,
    "top5": 0.83,
    "ece": 0.031,
    "per_person": {"w1": {"model": 1.5, "ngram": 1.8, "steps": 2}},
    "lineage": {"release": "l-123", "log_index": 412},
}
ROWS = [
    {"time": "2026-11-05T08:00:01+00:00", "start_ns": 1, "real": "fill kettle",
     "top1": "fill kettle", "p_real": 0.8, "p_top1": 0.8, "nats": 0.22},
    {"time": "2026-11-05T08:00:09+00:00", "start_ns": 9, "real": "pour <tea>",
     "top1": "read book", "p_real": 0.1, "p_top1": 0.6, "nats": 2.3},
]  # fmt: skip
DAYS = [{"person": "ana", "name": "w1", "rows": ROWS}]


def test_the_report_states_what_was_done_and_how_good_it_is():
    text = render_report(SUMMARY, EVALUATION, DAYS)
    for stated in (
        "2 h 40 min", "52.0 MB", "0 s", "1 min 30 s", "742 samples", "bad.mp4", "1.62", "1.93",
        "1.88", "1.41", "0.210 nats above", "86 % of the way", "+0.120 to +0.250", "3.1 percentage",
        "recall 1.000", "1 of 2 right", "What happened", "simulated", "+0.300",
    ):  # fmt: skip
        assert stated in text, stated


def test_the_report_stands_alone():
    text = render_report(SUMMARY, EVALUATION, DAYS)
    assert "<script" not in text
    assert not re.search(r"""(src|href)=["'](?!#)|@import|url\((?!#)""", text)


def test_what_comes_from_outside_is_escaped():
    text = render_report(SUMMARY, EVALUATION, DAYS)
    assert "pour <tea>" not in text
    assert "dora <b>" not in text
    assert "pour &lt;tea&gt;" in text


def test_without_labels_no_skill_is_claimed():
    unlabelled = EVALUATION | {
        "target": "own_slots", "nats_per_action": None, "oracle": None, "excess": None,
        "recovered": None, "claim": "none",
    }  # fmt: skip
    text = render_report(SUMMARY, unlabelled, [])
    assert "No claim of skill is made" in text
    for claim in ("nats per action", "less than the best", "first guess", "simulated", "easier"):
        assert claim not in text, claim


def test_without_labels_the_wearers_slots_stand_apart_from_the_worlds():
    said = {
        name: {"own": 1.111 + number, "world": 2.222 + number, "fields": {}}
        for number, name in enumerate(("unigram", "repeat_last", "ngram", "network", "model"))
    }
    unlabelled = EVALUATION | {
        "nats_per_action": None, "nats_per_own_slot": 5.111, "classes": None, "tokens": 1234,
        "oracle": None, "excess": None, "recovered": None, "slots": said,
    }  # fmt: skip
    text = render_report(SUMMARY, unlabelled, DAYS)
    for label, number in (("Unigram", 0), ("Repeat the last", 1), ("N-gram", 2), ("Model", 4)):
        row = f"{label}</th><td>{1.111 + number:.3f}</td><td>{2.222 + number:.3f}</td>"
        assert row in text, label
    assert "1,234 token values" in text
    assert "eight tokens" in text
    assert "token value" not in render_report(SUMMARY, EVALUATION, DAYS)


def test_a_model_that_loses_to_a_baseline_is_said_to():
    text = render_report(SUMMARY, EVALUATION | {"nats_per_action": 1.95}, [])
    assert "no less than the best baseline" in text


@pytest.mark.parametrize(
    ("gain", "said"),
    [((0.1, -0.1, 0.3), "no gain is shown"), ((-0.3, -0.4, -0.1), "worse")],
)
def test_a_gain_that_is_not_there_is_not_claimed(gain, said):
    found = dict(zip(("nats", "low", "high"), gain, strict=True))
    assert said in render_report(SUMMARY, EVALUATION | {"history_gain": found}, [])


@pytest.mark.parametrize("missing", sorted(EVALUATION))
def test_any_unknown_figure_leaves_a_report(missing):
    assert "</html>" in render_report(SUMMARY, EVALUATION | {missing: None}, DAYS)


@pytest.mark.parametrize("missing", sorted(SUMMARY))
def test_any_unknown_fact_leaves_a_report(missing):
    assert "</html>" in render_report(SUMMARY | {missing: None}, EVALUATION, DAYS)


def test_nothing_known_at_all_still_gives_a_report():
    assert "not known" in render_report({}, {}, [])
