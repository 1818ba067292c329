"""Making a release from real recordings of simulated people, through the whole vault."""

import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import pytest
import wearers

from firsthand import config, log
from firsthand.cli.locally import enrol_here
from firsthand.consent import people
from firsthand.consent.capture import review, withhold, zones
from firsthand.consent.runs import answers, proposals, snapshots
from firsthand.consent.terms import consents
from firsthand.errors import NotFound, Refused
from firsthand.record.card.card import Card
from firsthand.record.home.upload import carry_home
from firsthand.record.recorder import record
from firsthand.record.wearer.control import Control
from firsthand.release import erase, make, pull, selection
from firsthand.release.clip import FPS, SOUND_HZ
from firsthand.shard import open_release
from firsthand.simulate.camera import open_sim
from firsthand.vault import catalog, reading
from firsthand.vault.vault import Vault
from firsthand.web.server import Server

SECOND = 10**9
USES = ("train-general-model",)


def marked(camera, device):
    """The same camera, while whose wearer marks a moment a second after it began."""
    given = camera.samples

    def samples():
        control, todo = Control(device.folder), True
        for sample in given():
            if todo and sample.time_ns >= SECOND:
                todo = bool(not control.mark("the secret door"))
            yield sample

    camera.samples = samples
    return camera


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Three people with 70 simulated seconds each, carried home over HTTP."""
    folder = config.mark(tmp_path_factory.mktemp("release") / "data", "real")
    vault = Vault(config.load(folder, {}))
    server = Server(vault, "127.0.0.1", 0)
    settings = config.load(folder, {}, vault_url=server.url)
    vault.settings = settings
    with server.background():
        for index, name in enumerate(("ana", "ben", "cleo")):
            device = enrol_here(vault, vault.add_person(name, "sim" if index < 2 else ""))
            card = Card(device.folder / "card")
            camera = marked(open_sim(f"sim:{index}?seed=3&day=0&seconds=70"), device)
            record(camera, card, device)
            done = carry_home(card, device, patience_s=10)
            assert (done.stored, done.left) == (2, 0)
        with vault.db.write() as connection:
            for person in people.listed(connection):
                review.reviewed(connection, person)
    yield vault
    vault.close()


@pytest.fixture
def run(recorded):
    """A new run to which all three say yes, each with a consent that covers it."""
    with recorded.db.write() as connection:
        proposal = proposals.Proposal("a test", USES, "a model", "nobody", 30)
        run = proposals.propose(connection, proposal)
        for person in people.listed(connection):
            if not consents.of(connection, person.id):
                wearers.prepare(connection, person)
                consents.give(connection, person, USES)
            answers.vote(connection, run, person, "yes")
    return run


def person_of(vault, name):
    return vault.person(name)


def samples_of(vault, release, folder):
    reader = open_release(pull.pull(vault, release.id, folder, "a test"))
    return {name: list(reader.samples(name)) for name in reader.people}, reader


def name_of(vault, release, name):
    with vault.db.read() as connection:
        return make.name_in(connection, release.id, person_of(vault, name).id)


def test_only_people_who_said_yes_are_in_the_release(recorded, run, tmp_path):
    with recorded.db.write() as connection:
        answers.vote(connection, run, people.find(connection, "ben"), "no")
    release = make.make(recorded, run, 1)
    samples, _ = samples_of(recorded, release, tmp_path)
    assert len(samples) == 2
    assert [reason for _, reason in release.summary["refused"]] == [
        "the person said no to this run"
    ]


def test_no_released_sample_touches_a_withheld_interval(recorded, run, tmp_path):
    ana = person_of(recorded, "ana")
    with recorded.db.write() as connection:
        first = catalog.of_person(connection, ana.id)[0]
        start, stop = first.start_ns + 20 * SECOND + 1, first.start_ns + 31 * SECOND - 1
        held = withhold.withhold(connection, ana, start, stop)
    release = make.make(recorded, run, 1)
    samples, _ = samples_of(recorded, release, tmp_path)
    mine = samples[name_of(recorded, release, "ana")]
    assert all(item.stop_ns <= start or item.start_ns >= stop for item in mine)
    assert [item.meta["gap_before"] for item in mine] == ["start", "withheld", "none"]
    pictures = [
        sum(1 for _ in av.open(io.BytesIO(item.files["clip.mp4"])).decode(video=0)) for item in mine
    ]
    assert pictures == [FPS * round((item.stop_ns - item.start_ns) / SECOND) for item in mine]
    assert release.summary["withheld_ns"] == stop - start
    with recorded.db.write() as connection:
        withhold.lift(connection, ana, held.id)


@pytest.mark.fault("C1")
def test_a_withdrawal_between_selection_and_publication_is_honoured(recorded, run, monkeypatch):
    ben = person_of(recorded, "ben")
    build = make._build

    def build_then_withdraw(*given):
        build(*given)
        with recorded.db.write() as connection:
            for consent in consents.of(connection, ben.id):
                consents.withdraw(connection, ben, consent.id)

    monkeypatch.setattr(make, "_build", build_then_withdraw)
    release = make.make(recorded, run, 1)
    assert release.summary["people"] == 2
    assert ben.id in [person for person, _ in release.summary["refused"]]
    released = {entry["person"] for entry in release.manifest["manifest"]["people"]}
    assert name_of(recorded, release, "ben") not in released
    kept = {key.split("/")[-1] for key in recorded.store.keys(f"releases/{release.id}")}
    listed = {
        shard["file"]
        for entry in release.manifest["manifest"]["people"]
        for shard in entry["shards"]
    }
    assert kept == listed
    with recorded.db.write() as connection:
        consents.give(connection, people.find(connection, "ben"), USES)


def test_sound_is_released_only_where_the_law_is_known(recorded, run, tmp_path):
    release = make.make(recorded, run, 1)
    samples, _ = samples_of(recorded, release, tmp_path)
    for name, lawful in (("ana", True), ("cleo", False)):
        for item in samples[name_of(recorded, release, name)]:
            with av.open(io.BytesIO(item.files["clip.mp4"])) as clip:
                assert bool(clip.streams.audio) == item.meta["has_sound"] == lawful
                if lawful:
                    heard = sum(frame.samples for frame in clip.decode(audio=0))
                    length_s = (item.stop_ns - item.start_ns) / SECOND
                    assert abs(heard / SOUND_HZ - length_s) < 0.3


def test_the_same_selection_gives_the_same_plain_shards(recorded, run, tmp_path):
    first = make.make(recorded, run, 1)
    second = make.make(recorded, run, 2)
    one, _ = samples_of(recorded, first, tmp_path / "1")
    two, _ = samples_of(recorded, second, tmp_path / "2")
    for name in ("ana", "ben", "cleo"):
        left = one[name_of(recorded, first, name)]
        right = two[name_of(recorded, second, name)]
        assert [item.files for item in left] == [item.files for item in right]


def test_what_the_wearer_marked_stays_with_the_wearer(recorded, run, tmp_path):
    with recorded.db.read() as connection:
        held = catalog.of_person(connection, person_of(recorded, "ana").id)
    kept = reading.read_part(recorded, held[0].id, "events", "self", "test")
    assert b"the secret door" in kept
    samples, _ = samples_of(recorded, make.make(recorded, run, 1), tmp_path)
    events = [sample.files["events.json"] for each in samples.values() for sample in each]
    assert any(b"verb" in each for each in events)
    assert not any(b"secret" in each or b"bookmark" in each for each in events)


def test_an_interrupted_release_is_continued_under_its_own_id(recorded, run, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(make, "_publish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make.make(recorded, run, 1)
    with recorded.db.read() as connection:
        unfinished = [item for item in make.listed(connection) if item.state == "making"]
    release = make.make(recorded, run, 1)
    assert [item.id for item in unfinished] == [release.id]


def test_a_run_that_nobody_allows_is_refused_and_leaves_nothing(recorded):
    with recorded.db.write() as connection:
        silent = proposals.propose(connection, proposals.Proposal("silence", USES, "m", "n", 1))
        before = len(make.listed(connection))
    with pytest.raises(Refused, match="silence is no"):
        make.make(recorded, silent, 1)
    with recorded.db.read() as connection:
        assert len(make.listed(connection)) == before


def test_who_withdraws_after_the_release_is_not_pulled_any_more(recorded, run, tmp_path):
    release = make.make(recorded, run, 1)
    cleo = person_of(recorded, "cleo")
    with recorded.db.write() as connection:
        given = consents.of(connection, cleo.id)
        for consent in given:
            consents.withdraw(connection, cleo, consent.id)
    samples, reader = samples_of(recorded, release, tmp_path)
    gone = name_of(recorded, release, "cleo")
    assert gone not in samples
    assert not list((tmp_path / "shards").glob(f"{gone}*"))
    assert gone not in reader._grant["keys"]
    with recorded.db.write() as connection:
        consents.give(connection, cleo, USES)


def test_a_release_holds_the_streams_that_its_proposal_names_and_nothing_else(
    recorded, run, tmp_path
):
    with recorded.db.write() as connection:
        narrow = replace(run.proposal, streams=("motion",))
        narrow = proposals.propose(connection, narrow)
        for person in people.listed(connection):
            answers.vote(connection, narrow, person, "yes")
        before = log.size(connection)
    release = make.make(recorded, narrow, 1)
    samples, _ = samples_of(recorded, release, tmp_path)
    assert samples
    for item in [sample for each in samples.values() for sample in each]:
        assert "clip.mp4" not in item.files
        assert item.files["motion.bin"]
        assert item.files["events.json"] == b"[]"
        assert not item.meta["has_events"]
    with recorded.db.read() as connection:
        entries = list(log.read(connection, start=before))
    read = {entry.private["part"] for entry in entries if entry.kind == "read"}
    assert read == {"motion"}  # what is not named is not even opened


def test_a_stale_snapshot_is_refused_and_a_fresh_one_bounds_the_release(recorded, run):
    with recorded.db.write() as connection:
        ben = people.find(connection, "ben")
        answers.vote(connection, run, ben, "no")
        early = snapshots.take(connection, run)
        answers.vote(connection, run, ben, "yes")
    release = make.make(recorded, run, 1, snapshot=early.log_index)
    assert release.summary["people"] == 2
    assert [ben.id, "not in the snapshot"] in release.summary["refused"]
    with recorded.db.write() as connection:
        late = snapshots.take(connection, run)
        answers.vote(connection, run, ben, "no")
        other = proposals.propose(connection, run.proposal)
    with pytest.raises(Refused, match="stale"):
        make.make(recorded, run, 1, snapshot=late.log_index)
    for index, which in ((late.log_index, other), (0, run)):
        with pytest.raises(NotFound):
            make.make(recorded, which, 1, snapshot=index)


def test_every_released_byte_is_read_after_a_log_entry_and_the_release_is_logged(recorded, run):
    with recorded.db.read() as connection:
        before = log.size(connection)
    release = make.make(recorded, run, 1)
    with recorded.db.read() as connection:
        kinds = [entry.kind for entry in log.read(connection, start=before)]
        log.verify(connection)
    assert kinds.count("read") >= 3 * 2
    assert kinds[-1] == "release_made"
    assert release.log_index == before + len(kinds) - 1


def test_erasing_a_person_touches_no_byte_of_anothers_shard(recorded, run):
    release = make.make(recorded, run, 1)
    mine = name_of(recorded, release, "cleo")
    held = {
        key: b"".join(recorded.store.chunks(key))
        for key in recorded.store.keys(f"releases/{release.id}")
    }
    used = erase.forget(recorded, person_of(recorded, "cleo").id)
    assert release.id in used["releases"]
    left = {
        key: b"".join(recorded.store.chunks(key))
        for key in recorded.store.keys(f"releases/{release.id}")
    }
    assert left == {key: data for key, data in held.items() if f"/{mine}." not in key}
    assert len(left) < len(held)


def test_cut_pieces_keep_to_whole_seconds_inside_what_is_allowed(recorded, run):
    ana = person_of(recorded, "ana")
    with recorded.db.write() as connection:
        first = catalog.of_person(connection, ana.id)[0]
        held = [
            withhold.withhold(connection, ana, first.start_ns + a, first.start_ns + b).id
            for a, b in ((5_300_000_000, 7_100_000_000), (7_000_000_000, 9_900_000_000))
        ]
        chosen = selection.select(connection, run, recorded.now_ns())
        pieces = next(day.pieces for day in chosen.days if day.person == ana.id)
        for each in held:
            withhold.lift(connection, ana, each)
    offsets = [(p.start_ns - first.start_ns, p.stop_ns - first.start_ns) for p in pieces[:2]]
    assert offsets == [(0, 5 * SECOND), (10 * SECOND, first.stop_ns - first.start_ns)]
    for day in chosen.days:
        assert all(one.stop_ns <= two.start_ns for one, two in pairwise(day.pieces))


def test_what_is_kept_back_after_the_release_is_not_pulled_until_it_is_made_again(
    recorded, run, tmp_path
):
    release = make.make(recorded, run, 1)
    ana = person_of(recorded, "ana")
    with recorded.db.write() as connection:
        first = catalog.of_person(connection, ana.id)[0]
        bounds = first.start_ns + 5 * SECOND, first.start_ns + 6 * SECOND
        held = withhold.withhold(connection, ana, *bounds)
        review.arrive(connection, person_of(recorded, "ben").id, first.day, recorded.now_ns())
    samples, _ = samples_of(recorded, release, tmp_path / "1")
    assert set(samples) == {
        name_of(recorded, release, name) for name in ("ben", "cleo")
    }  # ben has late footage to review, which is not in here
    with recorded.db.write() as connection:
        review.reviewed(connection, person_of(recorded, "ben"))
    again = make.make(recorded, run, 1)
    samples, _ = samples_of(recorded, again, tmp_path / "2")
    mine = samples[name_of(recorded, again, "ana")]
    assert all(each.stop_ns <= bounds[0] or each.start_ns >= bounds[1] for each in mine)
    with recorded.db.write() as connection:
        withhold.lift(connection, ana, held.id)


def test_nothing_in_review_or_at_a_closed_place_is_released(recorded, run, tmp_path):
    ana, ben = person_of(recorded, "ana"), person_of(recorded, "ben")
    with recorded.db.write() as connection:
        first = catalog.of_person(connection, ana.id)[0]
        review.arrive(connection, ben.id, first.day, recorded.now_ns())
        middle = first.start_ns + 66 * SECOND
        said = zones.say(connection, ana, "clinic", middle, middle + 3600 * SECOND)
    release = make.make(recorded, run, 1)
    samples, _ = samples_of(recorded, release, tmp_path)
    mine = samples[name_of(recorded, release, "ana")]
    assert [each.stop_ns for each in mine] == [first.start_ns + 6 * SECOND]
    with pytest.raises(NotFound):
        name_of(recorded, release, "ben")
    assert (ben.id, "all footage is withheld, in quarantine or still in review") in [
        tuple(pair) for pair in release.summary["refused"]
    ]
    plain = b"".join(data for each in mine for data in each.files.values())
    assert b"clinic" not in plain + str(release.manifest).encode()
    with recorded.db.write() as connection:
        zones.end(connection, ana, said.id)
        review.reviewed(connection, ben)


def test_pulled_files_are_private(recorded, run, tmp_path):
    release = make.make(recorded, run, 1)
    folder = pull.pull(recorded, release.id, tmp_path / "p", "a test")
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert Path(folder / "grant.json").exists()
