import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from lives import release, sample
from tiny import encoder_in

from firsthand.errors import Damaged, NotFound, Usage
from firsthand.learn import store
from firsthand.learn.evaluate import evaluate
from firsthand.learn.tokens.clips import read_clip
from firsthand.learn.tokens.eye import Eye
from firsthand.learn.tokens.footage import streams_of
from firsthand.learn.tokens.scale import BLANK
from firsthand.learn.tokens.ticks import AHEAD, SCENE, WEARER, foretell
from firsthand.learn.train import train
from firsthand.release.clip import cut_clip
from firsthand.shard import Sample

pytestmark = pytest.mark.usefixtures("few_updates")
DAY_S, SECOND_NS = 86_400, 10**9
START_NS = 1_767_600_000 * SECOND_NS


def samples(person, days, labelled, seconds=12):
    seed = ord(person[0])
    return [
        sample(person, START_NS + day * DAY_S * SECOND_NS, seconds, seed + day, labelled)
        for day in range(days)
    ]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    return release(folder / "r", {p: samples(p, 4, True) for p in ("ann", "bob")})


def test_labelled_actions_become_steps_with_what_was_sensed_before(labelled, tmp_path):
    ann, bob = streams_of(labelled, tmp_path / "t")
    assert (ann.person, bob.person, ann.kind) == ("ann", "bob", "events")
    assert ann.own == ("verb", "noun")
    assert [s.own for s in ann.steps[:2]] == [("fill", "kettle"), ("pour", "tea")]
    assert ann.steps[0].start_ns == START_NS + SECOND_NS
    assert ann.recordings() == ["2026-01-05", "2026-01-06", "2026-01-07", "2026-01-08"]
    assert ann.steps[0].gap == "start"
    assert ann.lineage["release"] == "r1"
    assert ann.lineage["log_index"] == 7
    assert all(BLANK not in s.world for s in ann.steps)


def test_a_stored_tokeniser_gives_the_same_streams(labelled, tmp_path):
    first = streams_of(labelled, tmp_path / "t")
    assert streams_of(labelled, tmp_path / "t", fitted=True) == first


def test_without_labels_seconds_become_steps_of_the_wearers_own_slots(tmp_path):
    folder = release(tmp_path / "r", {"ann": samples("ann", 1, False, seconds=20)})
    (stream,) = streams_of(folder, tmp_path / "t")
    assert (stream.kind, stream.own, stream.world) == ("ticks", WEARER, SCENE)
    assert len(WEARER) + len(SCENE) == 16
    assert len(stream) == 20
    assert all(step.stop_ns - step.start_ns == SECOND_NS for step in stream.steps)
    for name, at in (("imu", 0), ("h", 2), ("sound", 6)):
        assert stream.steps[5].own[at].startswith(name)
    # No picture had ended before the first second, and none is made up.
    assert set(stream.steps[0].world) == {BLANK} != set(stream.steps[1].world)
    out = tmp_path / "m"
    train(folder, None, out, updates=3)
    result = evaluate(out)
    assert result["nats_per_action"] is None
    assert result["oracle"] is None
    assert result["claim"] == "none"
    for said in result["slots"].values():
        assert set(said["fields"]) == {*WEARER, *AHEAD}
    assert set(result["nats_per_slot"]) == {"own", "world"}


def test_the_same_release_and_seed_give_the_same_ticks(labelled, tmp_path):
    first = streams_of(labelled, tmp_path / "a", kind="ticks")
    assert streams_of(labelled, tmp_path / "b", kind="ticks") == first
    assert streams_of(labelled, tmp_path / "a", fitted=True) == first
    assert len(first[0].lineage["tokeniser"]) == 64


def test_labels_are_the_words_of_ticks(labelled, tmp_path):
    ann, _ = streams_of(labelled, tmp_path / "t", kind="ticks")
    day = [step.own[WEARER.index("word")] for step in ann.steps[:12]]
    assert day == ["-", "fill kettle", "-", "-", "pour tea", "-", "-", "wash cup", "-", "-",
                   "fill kettle", "-"]  # fmt: skip


def test_a_transcript_is_told_a_word_a_second_never_before_it_was_said(tmp_path):
    said = {"start_ns": SECOND_NS, "stop_ns": 2 * SECOND_NS, "fields": {"words": "put it on now"}}
    (one,) = samples("ann", 1, False, seconds=10)
    one = replace(one, files=one.files | {"events.json": json.dumps([said]).encode()})
    (stream,) = streams_of(release(tmp_path / "r", {"ann": [one]}), tmp_path / "t")
    words = [step.own[-1] for step in stream.steps]
    assert words[:6] == ["-", "put", "it", "on", "now", "-"]


def test_a_kind_of_stream_that_there_is_not_is_refused(labelled, tmp_path):
    with pytest.raises(Usage, match="'frames'"):
        streams_of(labelled, tmp_path / "t", kind="frames")


def test_what_comes_later_alters_no_token_before(tmp_path):
    """The same minute, and another one instead: all tokens of the first are as they were."""
    first = [sample("ann", START_NS + n * 8 * SECOND_NS, 8, n, True) for n in range(3)]
    other = sample("ann", START_NS + 16 * SECOND_NS, 8, 9, True)
    before = release(tmp_path / "a", {"ann": first})
    after = release(tmp_path / "b", {"ann": [*first[:2], other]})
    for kind, steps in (("ticks", 16), ("events", 4)):
        folder = tmp_path / kind
        (left,) = streams_of(before, folder, kind=kind)
        (right,) = streams_of(after, folder, kind=kind, fitted=True)
        assert left.steps[:steps] == right.steps[:steps]
        assert left.steps[steps:] != right.steps[steps:]


def test_the_tokeniser_never_saw_the_held_out_day(labelled, tmp_path):
    """Another last day gives the same tables."""
    lives = {p: samples(p, 4, True) for p in ("ann", "bob")}
    for number, life in enumerate(lives.values()):
        last = life[-1]
        life[-1] = sample(last.person, last.start_ns, 12, 90 + number, True)
    other = release(tmp_path / "r", lives)
    streams_of(labelled, tmp_path / "a", kind="ticks")
    streams_of(other, tmp_path / "b", kind="ticks")
    files = [tmp_path / name / "tables.safetensors" for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_encoder_that_the_user_has_looks_at_the_pictures(labelled, tmp_path):
    folder = encoder_in(tmp_path / "e")
    first = streams_of(labelled, tmp_path / "t", kind="ticks", encoder=folder)
    plain = streams_of(labelled, tmp_path / "p", kind="ticks")
    assert [s.own for s in first[0].steps] == [s.own for s in plain[0].steps]
    assert [s.world for s in first[0].steps] != [s.world for s in plain[0].steps]
    assert first[0].lineage["tokeniser"] != plain[0].lineage["tokeniser"]
    # Where it lies is remembered, and another one is refused.
    assert streams_of(labelled, tmp_path / "t", fitted=True) == first
    other = encoder_in(tmp_path / "o", seed=1)
    with pytest.raises(Usage, match="was fitted with encoder"):
        streams_of(labelled, tmp_path / "t", fitted=True, encoder=other)
    (folder / "model.safetensors").unlink()
    with pytest.raises(NotFound, match=r"model\.safetensors"):
        streams_of(labelled, tmp_path / "t", fitted=True)


@pytest.mark.data
def test_real_clips_become_ticks_with_motion_and_changes_seen(test_data, tmp_path):
    lives = {}
    for number, path in enumerate(sorted((test_data / "clips").glob("*.mp4"))):
        video, pictures, _ = cut_clip(path.read_bytes(), 0.0, 8.0, (160, 120), False)
        meta = {"fps": 4, "gap_before": "none", "pictures": pictures}
        files = {"clip.mp4": video, "meta.json": json.dumps(meta).encode()}
        stop_ns = START_NS + pictures * SECOND_NS // 4
        lives[f"p{number}"] = [Sample(f"p{number}", f"s{number}", START_NS, stop_ns, files)]
    streams = streams_of(release(tmp_path / "r", lives), tmp_path / "t")
    assert len(streams) == len(lives)
    for stream in streams:
        later = stream.steps[2:]
        assert all(BLANK not in step.world for step in later)
        assert {step.own[0].split(":")[0] for step in later} <= {"flow", BLANK}
        assert all(step.own[2].startswith("h") for step in later)
        assert {step.own[6] for step in later} <= {BLANK}  # no law let sound through
        assert foretell(stream).own == (*WEARER, *AHEAD)
    assert len({step.world for stream in streams for step in stream.steps}) > len(streams)


def test_training_on_a_release_records_where_it_came_from(labelled, tmp_path):
    out = tmp_path / "m"
    train(labelled, None, out, updates=3)
    lineage = json.loads((out / "config.json").read_text())["lineage"]
    assert (lineage["release"], lineage["log_index"], lineage["run"]) == ("r1", 7, "run1")
    assert evaluate(out)["steps"] == evaluate(out, release=labelled)["steps"] == 8


@pytest.fixture(scope="module")
def seen(labelled, few_updates, tmp_path_factory):
    """A model of ticks, asked for with an encoder: (its folder, the encoder's)."""
    folder = tmp_path_factory.mktemp("seen")
    encoder, out = encoder_in(folder / "e"), folder / "m"
    train(labelled, None, out, updates=2, seed=3, kind="ticks", encoder=encoder)
    return out, encoder


def test_the_kind_the_encoder_and_the_seed_that_were_asked_for_are_remembered(
    labelled, seen, tmp_path
):
    out, encoder = seen
    config = json.loads((out / "config.json").read_text())
    assert config["asked"] == {"kind": "ticks", "encoder": str(encoder)}
    assert config["kind"] == "ticks"
    first = streams_of(labelled, tmp_path / "t", kind="ticks", encoder=encoder, seed=3)
    assert config["lineage"] == first[0].lineage
    assert len(config["lineage"]["tokeniser"]) == 64
    assert (out / "tokeniser" / "tables.safetensors").read_bytes() == (
        tmp_path / "t" / "tables.safetensors"
    ).read_bytes()
    kept = store.load(out).streams
    assert [kept[s.person] for s in first] == first


def test_a_release_is_judged_as_the_kind_that_was_trained(labelled, seen, tmp_path):
    out = seen[0]
    known = evaluate(out)
    again = evaluate(out, release=labelled)
    assert again["steps"] == known["steps"] == 24
    assert again["slots"] == known["slots"]
    assert again["lineage"]["tokeniser"] == known["lineage"]["tokeniser"]
    # The encoder may lie elsewhere by then.
    moved = shutil.move(seen[1], tmp_path / "moved")
    with pytest.raises(NotFound):
        evaluate(out, release=labelled)
    assert evaluate(out, release=labelled, encoder=moved)["slots"] == known["slots"]
    shutil.move(moved, seen[1])


def test_an_interrupted_training_on_a_release_goes_on_only_with_the_same_kind(labelled, tmp_path):
    def cut(stage, _):
        if stage == "train":
            raise KeyboardInterrupt

    out, told = tmp_path / "m", []
    with pytest.raises(KeyboardInterrupt):
        train(labelled, None, out, updates=2, kind="ticks", progress=cut)
    lineage = json.loads((out / "config.json").read_text())["lineage"]
    summary = train(
        labelled, None, out, updates=2, kind="ticks", progress=lambda *a: told.append(a)
    )
    assert [share for stage, share in told if stage == "tokenise"] == [1.0]  # nothing anew
    assert summary["lineage"] == lineage
    assert summary["kind"] == "ticks"
    with pytest.raises(KeyboardInterrupt):
        train(labelled, None, out, updates=2, kind="ticks", seed=1, progress=cut)
    summary = train(labelled, None, out, updates=2)
    assert summary["kind"] == "events"
    assert summary["lineage"]["tokeniser"] != lineage["tokeniser"]


def eye_on(before, after):
    """An eye on a life whose first sample is followed by another."""
    eye = Eye()
    eye.turn_to(read_clip(before))
    eye.turn_to(read_clip(after))
    return eye


def sensed(eye, at_s):
    """All that is sensed before a time, and in the second before it."""
    at_ns = START_NS + round(at_s * SECOND_NS)
    found = {**vars(eye.sight(at_ns)), **vars(eye.look(at_ns))}
    found |= {f"second {k}": v for k, v in vars(eye.watch(at_ns - SECOND_NS)).items()}
    return {k: v for k, v in found.items() if isinstance(v, np.ndarray)}


def test_nothing_that_happens_at_or_after_a_time_is_sensed_before_it():
    first = sample("ann", START_NS, 4, 1, True)
    now = sample("ann", START_NS + 4 * SECOND_NS, 4, 2, True)
    other = sample("ann", START_NS + 4 * SECOND_NS, 4, 3, True)
    left, right = sensed(eye_on(first, now), 4.0), sensed(eye_on(first, other), 4.0)
    for name in left:
        assert np.array_equal(left[name], right[name], equal_nan=True), name
    left, right = sensed(eye_on(first, now), 6.5), sensed(eye_on(first, other), 6.5)
    for name in ("picture", "felt", "second felt", "second changes"):
        assert not np.array_equal(left[name], right[name])


def test_the_picture_sensed_is_the_last_one_that_has_ended():
    clip = read_clip(sample("ann", START_NS, 4, 1, True))
    eye = Eye()
    eye.turn_to(clip)
    assert np.array_equal(eye.sight(START_NS + 1_000_000_000).picture, clip.pictures[3])
    assert np.array_equal(eye.sight(START_NS + 999_000_000).picture, clip.pictures[2])


def test_across_a_gap_nothing_is_remembered():
    eye = Eye()
    eye.turn_to(read_clip(sample("ann", START_NS, 4, 1, True)))
    clip = replace(read_clip(sample("ann", START_NS + 9 * SECOND_NS, 4, 2, True)), gap="withheld")
    eye.turn_to(clip)
    assert not eye.sight(clip.start_ns).picture.any()
    assert np.isnan(eye.look(clip.start_ns).sound).all()
    assert np.isnan(eye.look(clip.start_ns).felt).all()
    # The first picture ends a quarter into the second: nothing is known of a change before that.
    assert np.isnan(eye.watch(clip.start_ns).changes[0]).all()


def test_a_damaged_sample_is_told_by_name():
    whole = sample("ann", START_NS, 4, 1, True)
    with pytest.raises(Damaged, match=whole.id):
        read_clip(replace(whole, files=whole.files | {"clip.mp4": b"no video"}))


@pytest.mark.parametrize(
    "files",
    [
        {"events.json": b"[{}]"},
        {"events.json": b'[{"start_ns": "0", "stop_ns": 1, "fields": {}}]'},
        {"events.json": b"{"},
        {"meta.json": b"no json"},
        {"meta.json": b'{"gap_before": "lunch"}'},
    ],
)
def test_labels_and_gaps_that_are_damaged_are_told_by_name(files):
    whole = sample("ann", START_NS, 4, 1, True)
    with pytest.raises(Damaged, match=whole.id) as caught:
        read_clip(replace(whole, files=whole.files | files))
    assert caught.value.exit_code == 14
