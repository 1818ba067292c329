"""The model of event streams: trained, kept, judged, cut, damaged, and a person taken out."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from past.people import halves, people, person, write

from firsthand.cli import main
from firsthand.errors import Damaged, Usage
from firsthand.learn import store
from firsthand.learn.past import model

STREAMS = people(4, recordings=5, steps=30)
TRAIN, TEST = zip(*(halves(s, 4) for s in STREAMS), strict=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("model") / "m"
    model.train(list(TRAIN), out)
    return out


@pytest.fixture
def copy(trained, tmp_path) -> Path:
    return shutil.copytree(trained, tmp_path / "m")


def test_trained_by_the_command_and_judged_by_it(tmp_path, capsys):
    train, test = write(tmp_path / "a.csv", list(TRAIN)), write(tmp_path / "b.csv", list(TEST))
    out = tmp_path / "m"
    asked = ["learn", "train", "--stream", str(train), "--out", str(out), "--json"]
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["people"] == 4
    assert told["lineage"] == {"release": "none", "file": "a.csv"}
    assert main(["learn", "eval", "--model", str(out), "--stream", str(test), "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["n"] == 120
    assert set(judged["nats"]) == {"joint", "verb", "noun"}
    assert judged["per_person"]["P01"]["n"] == 30


def test_the_same_stream_gives_the_same_model(trained, tmp_path):
    model.train(list(TRAIN), tmp_path / "m")
    assert (tmp_path / "m" / "config.json").read_text() == (trained / "config.json").read_text()


def test_a_remembered_past_helps(trained):
    known = model.evaluate(trained, list(TEST))["nats"]["joint"]
    nobody = [person(f"X{i}", 1, 30) for i in range(3)]
    strange = model.evaluate(trained, nobody)
    assert strange["people"] == 3
    assert strange["nats"]["joint"] > known


def test_a_person_is_removed_exactly(copy):
    files = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    store.forget(copy, "P02")
    left = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    assert left == {p: data for p, data in files.items() if "people/P02" not in str(p)}
    assert sorted(model.load(copy).streams) == ["P01", "P03", "P04"]
    assert model.evaluate(copy, list(TEST))["n"] == 120


@pytest.mark.parametrize(
    "name", ["shared.safetensors", "vocabulary.json", "people/P01/steps.parquet"]
)
@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_damage_is_named(copy, tmp_path, name, harm, capsys):
    path = copy / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    if harm != "gone":
        path.write_bytes(data if harm == "flip" else data[: len(data) // 2])
    test = write(tmp_path / "b.csv", list(TEST))
    assert main(["learn", "eval", "--model", str(copy), "--stream", str(test)]) == 14
    assert name in capsys.readouterr().err


def test_fields_that_it_never_saw_are_refused(trained, tmp_path, capsys):
    test = write(tmp_path / "b.csv", list(TEST))
    rows = list(csv.reader(test.open()))
    rows[0][-1] = "thing"
    with test.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert main(["learn", "eval", "--model", str(trained), "--stream", str(test)]) == 2
    assert "thing" in capsys.readouterr().err


def test_an_interrupted_training_leaves_the_model_that_was(copy, monkeypatch):
    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_config", stop)
    with pytest.raises(KeyboardInterrupt):
        model.train(list(TRAIN[:3]), copy)
    assert {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()} == before
    monkeypatch.undo()
    model.train(list(TRAIN[:3]), copy)
    assert sorted(model.load(copy).streams) == ["P01", "P02", "P03"]


def test_nothing_but_a_model_is_replaced(copy, tmp_path):
    other = tmp_path / "project"
    other.mkdir()
    (other / "config.json").write_text('{"name": "mine"}')
    (copy / "notes.txt").write_text("keep me")
    for place in (other, copy, other / "config.json"):
        with pytest.raises(Usage):
            model.train(list(TRAIN), place)
    assert (copy / "notes.txt").read_text() == "keep me"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "project"]


def test_people_may_be_called_anything(tmp_path):
    names = ["..", ".", "a/b", "é" * 150, "p"]
    streams = [replace(s, person=n) for s, n in zip(people(5, recordings=2), names, strict=True)]
    model.train(streams, tmp_path / "m")
    assert sorted(model.load(tmp_path / "m").streams) == sorted(names)
    assert len(list((tmp_path / "m" / "people").iterdir())) == 5
    store.forget(tmp_path / "m", "..")
    assert sorted(model.load(tmp_path / "m").streams) == sorted(names[1:])


@pytest.mark.parametrize("text", ["[]", '{"format": "firsthand-past/1"}'])
def test_a_config_that_lacks_something_is_damage(copy, text):
    (copy / "config.json").write_text(text)
    with pytest.raises(Damaged, match="config"):
        model.load(copy)


def test_a_person_under_another_name_is_damage(copy):
    (copy / "people" / "P01").rename(copy / "people" / "P09")
    with pytest.raises(Damaged, match="P09"):
        model.load(copy)


def test_what_cannot_be_trained_on_is_refused(tmp_path, trained):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("keep me")
    with pytest.raises(Usage, match="holds no model"):
        model.train(list(TRAIN), tmp_path / "full")
    with pytest.raises(Usage, match="no step"):
        model.train([], tmp_path / "m")
    with pytest.raises(Usage, match="120 of 120"):
        model.evaluate(trained, list(TRAIN))
    with pytest.raises(Usage, match="no step"):
        model.evaluate(trained, [])
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{")
    with pytest.raises(Damaged):
        model.load(tmp_path / "m")
