"""Erasure reaches releases: whoever erases leaves them, everyone else's shards stay as they are."""

import shutil
from pathlib import Path

import pytest
import wearers

from firsthand import config
from firsthand.cli.locally import enrol_here
from firsthand.consent import erasure, people
from firsthand.consent.capture import review
from firsthand.consent.runs import answers, proposals
from firsthand.consent.terms import consents
from firsthand.errors import NotFound, Refused
from firsthand.record.card.card import Card
from firsthand.record.home.upload import carry_home
from firsthand.record.recorder import record
from firsthand.release import erase, make, pull
from firsthand.shard import Sample, open_release
from firsthand.simulate.camera import open_sim
from firsthand.vault import catalog
from firsthand.vault import erase as from_vault
from firsthand.vault.vault import Vault
from firsthand.web.server import Server

DAY_NS = 86_400 * 10**9
USES = ("train-general-model",)


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> tuple[Path, str, str]:  # type: ignore[no-untyped-def]
    """Two people with two segments each, and a release of all that."""
    folder = config.mark(tmp_path_factory.mktemp("erase") / "data", "real")
    vault = Vault(config.load(folder, {}))
    server = Server(vault, "127.0.0.1", 0)
    vault.settings = config.load(folder, {}, vault_url=server.url)
    with server.background():
        for index, name in enumerate(("ana", "ben")):
            device = enrol_here(vault, vault.add_person(name, "sim"))
            card = Card(device.folder / "card")
            record(open_sim(f"sim:{index}?seed=3&day=0&seconds=62"), card, device)
            assert carry_home(card, device, patience_s=10).stored == 2
    with vault.db.write() as connection:
        run = proposals.propose(
            connection, proposals.Proposal("a test", USES, "a model", "nobody", 30)
        )
        for person in people.listed(connection):
            wearers.prepare(connection, person)
            consents.give(connection, person, USES)
            answers.vote(connection, run, person, "yes")
            review.reviewed(connection, person)
    release = make.make(vault, run, workers=1)
    vault.close()
    return folder, run.id, release.id


@pytest.fixture
def vault(ready, tmp_path, clock):  # type: ignore[no-untyped-def]
    """That vault, copied, at a clock that moves only when told."""
    folder = tmp_path / "data"
    shutil.copytree(ready[0], folder)
    plain = Vault(config.load(folder, {}))
    clock.now_ns = plain.now_ns()
    plain.close()
    opened = Vault(config.load(folder, {}), clock)
    yield opened
    opened.close()


def held(vault: Vault, release: str) -> dict[str, bytes]:
    keys = vault.store.keys(f"releases/{release}")
    return {key: b"".join(vault.store.chunks(key)) for key in keys}


def segments(vault: Vault, name: str) -> list[catalog.Segment]:
    with vault.db.read() as connection:
        return list(catalog.of_person(connection, people.find(connection, name).id))


def pulled(vault: Vault, release: str, folder: Path) -> int:
    """How many people a pull of now gives."""
    shutil.rmtree(folder, ignore_errors=True)
    pull.pull(vault, release, folder, "tester")
    return len({sample.person for sample in samples(folder)})


def samples(folder: Path) -> list[Sample]:
    reader = open_release(folder)
    return [sample for name in reader.people for sample in reader.samples(name)]


def test_an_interval_takes_its_person_out_of_a_release_in_two_steps(ready, vault, tmp_path, clock):
    _, run, release = ready
    before, out = held(vault, release), tmp_path / "out"
    ana, doomed = vault.person("ana"), segments(vault, "ana")[0]
    with vault.db.read() as connection:
        name = make.name_in(connection, release, ana.id)
    interval = (doomed.start_ns, doomed.start_ns + 1)
    with vault.db.read() as connection:
        plan = erase.plan(connection, ana, interval)
    assert (plan.segments, plan.releases, plan.runs) == (1, [release], [run])
    assert pulled(vault, release, out) == 2
    order = from_vault.place(vault, ana, interval)
    assert pulled(vault, release, out) == 1  # hidden at once
    assert held(vault, release) == before
    erase.undo(vault, order.id)
    assert pulled(vault, release, out) == 2
    from_vault.place(vault, ana, interval)
    clock.now_ns += 7 * DAY_NS
    (done,) = erase.sweep(vault)
    assert (done.outcome["releases"], done.outcome["runs"]) == ([release], [run])
    # Ana's key and shards are gone, Ben's are the same bytes.
    with pytest.raises(NotFound):
        vault.keyring.release_key(release, ana.id)
    left = held(vault, release)
    assert left == {key: data for key, data in before.items() if f"/{name}." not in key}
    assert pulled(vault, release, out) == 1
    # The run's release, made anew, has the rest of Ana again.
    with vault.db.read() as connection:
        found = proposals.find(connection, run)
    again = make.make(vault, found, workers=1)
    assert again.summary["people"] == 2
    assert pulled(vault, again.id, out) == 2
    assert len(samples(out)) == before_samples(vault, release) - 1


def before_samples(vault: Vault, release: str) -> int:
    with vault.db.read() as connection:
        return make.find(connection, release).summary["samples"]


def test_an_interval_that_is_in_no_release_leaves_them_all(ready, vault, tmp_path):
    _, _, release = ready
    before = held(vault, release)
    ana = vault.person("ana")
    order = from_vault.place(vault, ana, (1, 2), wait_ns=0)
    assert erase.carry_out(vault, order).outcome["releases"] == []
    assert held(vault, release) == before
    assert pulled(vault, release, tmp_path / "out") == 2


def test_a_release_is_erased_as_a_whole_and_the_footage_stays(ready, vault, tmp_path, clock):
    _, _, release = ready
    before = held(vault, release)
    order = erase.place_release(vault, release)
    assert erase.place_release(vault, release).id == order.id
    with pytest.raises(Refused, match="is to be erased"):
        pulled(vault, release, tmp_path / "out")
    erase.undo(vault, order.id)
    assert pulled(vault, release, tmp_path / "out") == 2
    assert held(vault, release) == before
    order = erase.place_release(vault, release)
    clock.now_ns += 7 * DAY_NS
    (done,) = erase.sweep(vault)
    assert done.outcome["bytes"] == sum(map(len, before.values()))
    assert held(vault, release) == {}
    for name in ("ana", "ben"):
        with pytest.raises(NotFound):
            vault.keyring.release_key(release, vault.person(name).id)
        assert len(segments(vault, name)) == 2
    with pytest.raises(Refused, match="was erased"):
        pulled(vault, release, tmp_path / "out")
    with pytest.raises(Refused, match="is erased"):
        erase.place_release(vault, release)
    with pytest.raises(NotFound):
        erase.place_release(vault, "l-0")


def test_what_a_device_had_forgotten_leaves_its_releases_at_the_next_sweep(ready, vault, tmp_path):
    _, _, release = ready
    ana, doomed = vault.person("ana"), segments(vault, "ana")[0]
    with vault.db.write() as connection:
        order = erasure.order(connection, ana, None, vault.now_ns(), [doomed.id])
    from_vault.carry_out(vault, order)  # as the vault does when a device asks
    assert pulled(vault, release, tmp_path / "out") == 1  # hidden at once
    erase.sweep(vault)
    with pytest.raises(NotFound):
        vault.keyring.release_key(release, ana.id)
    with vault.db.read() as connection:
        assert erasure.find(connection, order.id).outcome["releases"] == [release]


def test_an_erasure_while_shards_are_built_leaves_none_that_nobody_can_open(
    ready, vault, tmp_path, monkeypatch
):
    _, run, _ = ready
    with vault.db.read() as connection:
        found = proposals.find(connection, run)
    ana, doomed = vault.person("ana"), segments(vault, "ana")[0]
    build, done = make._build, []

    def interrupt(pool, jobs, built, progress) -> None:  # type: ignore[no-untyped-def]
        build(pool, jobs, built, progress)
        if not done:
            done.append(from_vault.place(vault, ana, listed=[doomed.id], wait_ns=0))
            erase.carry_out(vault, done[0])

    monkeypatch.setattr(make, "_build", interrupt)
    made = make.make(vault, found, workers=1)
    assert made.summary["samples"] == 3
    assert pulled(vault, made.id, tmp_path / "out") == 2
    assert len(samples(tmp_path / "out")) == 3
