"""One process and two under torchrun (gloo) fit alike, and go on from each other's checkpoints."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from fitting import lines
from lives import life, lives
from torch.distributed.fsdp import FSDPModule

from firsthand.errors import Usage
from firsthand.learn.network import checkpoint, distributed, fit
from firsthand.learn.network.distributed import Place, device_of
from firsthand.learn.network.model import Losses, Network, shape_for
from firsthand.learn.train import train
from firsthand.learn.vocabulary import fit_vocabulary

# Only the order of float32 sums differs; measured: at most 3e-7 of a loss in 30 updates.
TOLERANCE = 1e-5
WHOLE, HALF, LOOKS = 30, 14, 6

# A process that has done all may abort as it ends, in gloo's own threads (seen once in some hundred
# runs, with PyTorch 2.13): that is no failure of what is tested here.
pytestmark = [
    pytest.mark.flaky(reruns=2, only_rerun=["without an active exception", r"Timeout \(>"]),
    pytest.mark.slow,
]


def fitted(folder: Path, name: str, updates: int) -> fit.Fitted:
    """Two people's lives, dropout on, a development part, every update told."""
    streams = [life("ann", days=2), life("bob", days=2)]
    vocabulary = fit_vocabulary(streams)
    shape = shape_for(1, vocabulary.own_sizes, vocabulary.world_sizes, 2)
    shape = replace(shape, window=16, weights=(1.0, 0.25))
    known = [(i + 1, vocabulary.encode(s)) for i, s in enumerate(streams)]
    recipe = fit.Recipe(updates=updates, batch=5, window=16, seed=3, log_every=1)
    dev = [(person, codes, 45) for person, codes in known]
    seen = [(person, codes.cut(0, 45)) for person, codes in known]
    around = fit.Around(name, {"release": "r1"}, folder / f"{name}.jsonl")
    with patch.object(fit, "CHECK_EVERY", LOOKS):
        return fit.fit(shape, seen, recipe, folder / name, dev, None, around)


def told(folder: Path, name: str) -> list[tuple[int, str, float]]:
    """All that was measured at the updates and the looks of a run."""
    rows = lines(folder / f"{name}.jsonl")
    kinds = ("loss", "grad_norm", "dev")
    return [(row["update"], kind, row[kind]) for row in rows for kind in kinds if kind in row]


def torchrun(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    beside = str(Path(__file__).parents[1])  # fitting.py
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": beside}
    return subprocess.run(
        [*command, "--nproc-per-node", "2", *arguments],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """What two processes fitted: unbroken, cut, killed, and on from one process's half."""
    folder = tmp_path_factory.mktemp("two")
    fitted(folder, "one-then-two", HALF)
    assert torchrun(__file__, str(folder), "die").returncode != 0
    left = sorted(path.name for path in (folder / "killed").iterdir())
    assert left == ["partial", "step-2", "step-3"]  # died as it wrote step-4
    done = torchrun(__file__, str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> tuple[Path, fit.Fitted]:
    folder = tmp_path_factory.mktemp("one")
    return folder, fitted(folder, "whole", WHOLE)


def same_curve(got, wanted) -> None:
    assert [row[:2] for row in got] == [row[:2] for row in wanted]
    assert [row[2] for row in got] == pytest.approx([row[2] for row in wanted], rel=TOLERANCE)


def test_two_processes_have_the_loss_curve_of_one(one, two):
    assert len(told(one[0], "whole")) == 2 * WHOLE + WHOLE // LOOKS
    same_curve(told(two, "whole"), told(one[0], "whole"))


def test_two_processes_end_with_the_weights_of_one_on_each_of_them(one, two):
    network = one[1].network.state_dict()
    for rank in range(2):
        theirs = torch.load(two / f"rank-{rank}.pt")
        assert theirs.keys() == network.keys()
        assert all(torch.allclose(network[k], v, atol=1e-4) for k, v in theirs.items())
    assert not torch.equal(network["norm.weight"], torch.ones_like(network["norm.weight"]))
    looked = json.loads((two / "dev.json").read_text())
    assert looked == pytest.approx(one[1].dev_nats, rel=TOLERANCE)


def test_each_of_two_processes_holds_half_of_the_weights_layer_by_layer(one, two):
    whole = sum(p.numel() for p in one[1].network.parameters())
    held = [json.loads((two / f"held-{rank}.json").read_text()) for rank in range(2)]
    assert sum(numbers for numbers, _ in held) == whole
    assert all(numbers == pytest.approx(whole / 2, rel=0.02) and split for numbers, split in held)


def test_a_checkpoint_of_one_process_continues_on_two_and_back(one, two):
    same_curve(told(two, "one-then-two"), told(one[0], "whole"))
    notes = json.loads((two / "two-then-one" / f"step-{HALF}" / "notes.json").read_text())
    assert notes["world"] == 2
    fitted(two, "two-then-one", WHOLE)
    same_curve(told(two, "two-then-one"), told(one[0], "whole"))


def test_two_processes_go_on_exactly_where_they_were_cut(two):
    assert told(two, "cut") == told(two, "whole")


def test_two_processes_go_on_exactly_where_one_was_killed_while_it_wrote(two):
    assert told(two, "killed") == told(two, "whole")


def test_training_under_torchrun_is_as_alone(two):
    out = two / "trained"
    config = json.loads((out / "config.json").read_text())
    assert config["finished"]
    assert sorted(config["numbers"]) == ["ann", "bob", "cat"]
    assert not (out / "state").exists()
    rows = [row for row in lines(out / "metrics.jsonl") if "loss" in row]
    updates = [(row["network"], row["update"]) for row in rows]
    assert len(updates) == len(set(updates)) > 0  # one process tells, not both
    assert all(row["mfu"] > 0 for row in rows)


def test_each_row_of_a_batch_belongs_to_one_process():
    for world in range(1, 8):
        rows = [np.arange(13)[Place(device_of("cpu"), r, world).share(13)] for r in range(world)]
        assert np.concatenate(rows).tolist() == list(range(13))
        assert min(map(len, rows)) >= 1


def test_a_batch_smaller_than_the_processes_is_refused():
    with pytest.raises(Usage, match="batch of 3 windows"):
        Place(device_of("cpu"), 0, 4).share(3)


@pytest.mark.parametrize("name", ["abacus", "meta"])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(Usage, match=name):
        device_of(name)


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(Usage, match="this machine shows"):
        device_of("cuda:99")


def test_an_environment_that_torchrun_did_not_write_is_refused(monkeypatch):
    distributed.here.cache_clear()
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(Usage, match="WORLD_SIZE=many"):
        distributed.here()


def test_training_alone_needs_no_torchrun(tmp_path):
    summary = train(None, lives(days=3, steps=14), tmp_path / "m", updates=2)
    assert summary["people"] == 3


def _die_while_writing(folder: Path) -> None:
    """Fit, saving after each update; the first process kills itself as it writes the fourth."""
    write = checkpoint._write

    def dying(path: Path, value) -> None:
        if path.name == checkpoint.NOTES and value["update"] == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        write(path, value)

    checkpoint._write = dying
    fit.SAVE_EVERY_S, fit.SAVE_SHARE = -1.0, 1e9
    fitted(folder, "killed", WHOLE)


def _fit_all(folder: Path) -> None:
    """What each of the two processes does in the fixture `two`."""
    result = fitted(folder, "whole", WHOLE)
    fitted(folder, "killed", WHOLE)
    fitted(folder, "cut", HALF)
    fitted(folder, "cut", WHOLE)
    fitted(folder, "two-then-one", HALF)
    fitted(folder, "one-then-two", WHOLE)
    place = distributed.here()
    losses = distributed.shard(Losses(Network(result.network.shape)), place)
    held = sum(distributed.local(p).numel() for p in losses.parameters())
    split = all(isinstance(block, FSDPModule) for block in losses.network.blocks)
    (folder / f"held-{place.rank}.json").write_text(json.dumps([held, split]))
    torch.save(result.network.state_dict(), folder / f"rank-{place.rank}.pt")
    if place.main:
        (folder / "dev.json").write_text(json.dumps(result.dev_nats))
    train(None, lives(days=3, steps=14), folder / "trained", seconds=2)


if __name__ == "__main__":
    job = _die_while_writing if sys.argv[-1] == "die" else _fit_all
    job(Path(sys.argv[1]))
