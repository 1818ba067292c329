import json
from dataclasses import replace

import pytest
from lives import lives

from firsthand.errors import Damaged, NotFound, Usage
from firsthand.learn import store
from firsthand.learn.network import fit
from firsthand.learn.streams import Stream, split
from firsthand.learn.train import train

SHARED = ("shared.safetensors", "mix.safetensors", "vocabulary.json")


def shared(out):
    return [(out / name).read_bytes() for name in SHARED]


def test_the_same_seed_gives_the_same_model_and_nothing_of_the_held_out_day_is_read(tmp_path):
    streams = lives(days=3, steps=14)
    train(None, streams, tmp_path / "a", updates=5)
    altered = []
    for stream in streams:
        test = split(stream)[1]
        rest = [replace(s, own=("fry", "egg"), world=("dim",)) for s in stream.steps[test:]]
        altered.append(replace(stream, steps=(*stream.steps[:test], *rest)))
    train(None, altered, tmp_path / "b", updates=5)
    assert shared(tmp_path / "a") == shared(tmp_path / "b")
    train(None, streams, tmp_path / "c", updates=5, seed=1)
    assert shared(tmp_path / "a") != shared(tmp_path / "c")


def test_an_interrupted_training_goes_on_and_ends_like_an_unbroken_one(tmp_path, monkeypatch):
    streams = lives(days=3, steps=14)
    train(None, streams, tmp_path / "whole", updates=5)
    monkeypatch.setattr(fit, "SAVE_EVERY_S", 0.0)

    def cut(stage, fraction):
        if stage == "train" and fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(None, streams, tmp_path / "cut", updates=5, progress=cut)
    with pytest.raises(NotFound, match="not trained to the end"):
        store.load(tmp_path / "cut")
    done = []
    train(None, streams, tmp_path / "cut", updates=5, progress=lambda *a: done.append(a))
    first = next(fraction for stage, fraction in done if stage == "train")
    assert first > 0.4
    assert shared(tmp_path / "whole") == shared(tmp_path / "cut")


def test_what_an_interrupted_run_on_other_data_left_is_not_continued(tmp_path):
    def cut(stage, fraction):
        if stage == "train":
            raise KeyboardInterrupt

    out = tmp_path / "m"
    with pytest.raises(KeyboardInterrupt):
        train(None, lives(seed=5, days=3, steps=14), out, updates=5, progress=cut)
    streams = lives(days=3, steps=14)
    train(None, streams, out, updates=5)
    train(None, streams, tmp_path / "fresh", updates=5)
    assert shared(out) == shared(tmp_path / "fresh")


def test_the_config_tells_where_the_model_comes_from(trained):
    config = json.loads((trained / "config.json").read_text())
    assert config["lineage"]["release"] == "none"
    assert config["finished"]
    assert config["bound"] == {"updates": 15}
    names = {json.loads(line)["network"] for line in (trained / "metrics.jsonl").open()}
    assert {"scout-0", "network-0", "without-0-0"} <= names
    assert not (trained / "state").exists()


def test_forgetting_a_person_leaves_every_other_byte(tmp_path):
    out = tmp_path / "m"
    train(None, lives(days=3, steps=14), out, updates=3)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    store.forget(out, "bob")
    after = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    gone = {str(p.relative_to(out)) for p in before.keys() - after.keys()}
    assert gone == {
        "people/bob/steps.parquet",
        "people/bob/own.safetensors",
    }
    assert all(before[path] == data for path, data in after.items())
    model = store.load(out)
    assert sorted(model.streams) == ["ann", "cat"]
    with pytest.raises(NotFound):
        store.forget(out, "bob")


@pytest.mark.parametrize(
    "name", ["shared.safetensors", "people/ann/steps.parquet", "mix.safetensors"]
)
def test_a_flipped_bit_is_found(tmp_path, trained, name):
    import shutil

    out = tmp_path / "m"
    shutil.copytree(trained, out)
    data = bytearray((out / name).read_bytes())
    data[len(data) // 2] ^= 1
    (out / name).write_bytes(data)
    with pytest.raises(Damaged, match=name.split("/")[-1].split(".")[0]):
        store.load(out)


def test_bad_arguments_are_refused(tmp_path):
    with pytest.raises(Usage, match="a release or streams"):
        train(None, None, tmp_path / "m")
    with pytest.raises(Usage, match="holdout"):
        train(None, lives(), tmp_path / "m", holdout="first-day")
    with pytest.raises(Usage, match="no step"):
        train(None, [Stream("a", ("f",), (), ())], tmp_path / "m")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "x.jpg").touch()
    with pytest.raises(Usage, match="not empty"):
        train(None, lives(), tmp_path / "photos")
