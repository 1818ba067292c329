"""The benchmark: order, folds, proper losses, baselines, and a future that cannot be seen."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from past.people import halves, people, person, write

from firsthand.cli import main
from firsthand.errors import Damaged, NotFound, Usage
from firsthand.learn.benchmark import baselines, figures
from firsthand.learn.benchmark.judge import judge
from firsthand.learn.benchmark.task import task_of
from firsthand.learn.classes import closed, read_classes
from firsthand.learn.streams import Step, Stream
from firsthand.learn.vocabulary import fit_vocabulary

STREAMS = people(4, recordings=5, steps=30)
TRAIN, TEST = zip(*(halves(s, 4) for s in STREAMS), strict=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write(folder / "train.csv", list(TRAIN))
    write(folder / "test.csv", list(TEST))
    classes = sorted({s.own for stream in STREAMS for s in stream.steps})
    rows = ["verb,noun", *(",".join(row) for row in classes)]
    (folder / "classes.csv").write_text("\n".join(rows) + "\n")
    return folder


def arguments(files: Path, *more: str) -> list[str]:
    given = ["--train", str(files / "train.csv"), "--test", str(files / "test.csv")]
    return ["learn", "benchmark", *given, "--json", *more]


@pytest.fixture(scope="module")
def result(files) -> dict:
    import contextlib
    import io

    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        more = ("--classes", str(files / "classes.csv"), "--per-step", str(files / "steps.parquet"))
        assert main(arguments(files, *more, "--keep", str(files / "kept"))) == 0
    return json.loads(told.getvalue())


def test_all_figures_are_there_and_agree(result, files):
    assert result["n"] == 4 * 30
    assert set(result["nats"]) == {"joint", "verb", "noun"}
    assert result["nats"]["joint"] < result["baselines"]["mixture"]
    assert result["nats"]["verb"] + result["nats"]["noun"] > result["nats"]["joint"]
    assert set(result["baselines"]) == set(baselines.NAMES)
    assert result["baselines"]["uniform"] == pytest.approx(np.log(result["classes"] + 1))
    assert 0 <= result["top1"] <= result["top5"] <= 1
    for name in ("ece", "recall5", "who_top1"):
        assert 0 <= result[name] <= 1
    gain = result["history_gain"]
    assert gain["low"] <= gain["nats"] <= gain["high"]
    assert gain["nats"] == pytest.approx(result["without_past"] - result["nats"]["joint"])
    assert result["stranger_loss"] > result["nats"]["joint"]
    steps = pyarrow.parquet.read_table(files / "steps.parquet").to_pydict()
    assert -np.mean(steps["log_p.model"]) == pytest.approx(result["nats"]["joint"])
    first = [(s.recording, i) for i, s in enumerate(TEST[0].steps)]
    assert list(zip(steps["recording"], steps["step"], strict=True))[:30] == first


def test_a_finished_part_is_kept_and_gives_the_same(result, files, capsys):
    kept = sorted((files / "kept").iterdir())
    assert len(kept) == 12  # three parts for each of four folds
    kept[0].unlink()
    harmed = bytearray(kept[1].read_bytes())
    harmed[len(harmed) // 2] ^= 1
    kept[1].write_bytes(harmed)
    more = ("--classes", str(files / "classes.csv"), "--keep", str(files / "kept"))
    assert main(arguments(files, *more)) == 0
    assert json.loads(capsys.readouterr().out) == result


def test_an_altered_future_alters_no_earlier_row(result, files, tmp_path):
    at = 12
    changed = [
        replace(TEST[0], steps=(*TEST[0].steps[:at], *(replace(
            s, own=TEST[0].steps[0].own, stop_ns=s.stop_ns + 10**9) for s in TEST[0].steps[at:]))),
        *TEST[1:],
    ]  # fmt: skip
    write(tmp_path / "test.csv", changed)
    (tmp_path / "train.csv").write_bytes((files / "train.csv").read_bytes())
    more = ("--classes", str(files / "classes.csv"), "--per-step", str(tmp_path / "steps.parquet"))
    assert main(arguments(tmp_path, *more)) == 0
    before = pyarrow.parquet.read_table(files / "steps.parquet").to_pydict()
    after = pyarrow.parquet.read_table(tmp_path / "steps.parquet").to_pydict()
    untouched = [
        i
        for i, (name, step) in enumerate(zip(before["person"], before["step"], strict=True))
        if name != TEST[0].person or step < at
    ]
    columns = [name for name in before if name.startswith("log_p.")]
    assert len(columns) == len(baselines.NAMES) + 3
    for name in columns:
        one, other = np.array(before[name]), np.array(after[name])
        assert np.array_equal(one[untouched], other[untouched]), name
    changed_rows = np.array(before["log_p.model"]) != np.array(after["log_p.model"])
    assert changed_rows.sum() >= 15


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_killed_it_leaves_no_process_behind_and_goes_on_where_it_was(files, result, tmp_path):
    more = ("--classes", str(files / "classes.csv"), "--keep", str(tmp_path / "kept"))
    command = [sys.executable, "-m", "firsthand", *arguments(files, *more)]
    begun = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while not list(tmp_path.glob("kept/*.npz")) and time.monotonic() < until:
        time.sleep(0.05)
    children = Path(f"/proc/{begun.pid}/task/{begun.pid}/children").read_text().split()
    begun.kill()
    begun.wait()
    assert children
    until = time.monotonic() + 60
    while any(alive(child) for child in children) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(alive(child) for child in children)
    done = subprocess.run(command, capture_output=True, text=True)
    assert json.loads(done.stdout) == result


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_one_baseline_alone_costs_no_model(files, capsys, result):
    more = ("--classes", str(files / "classes.csv"), "--only", "kn_own")
    assert main(arguments(files, *more)) == 0
    alone = json.loads(capsys.readouterr().out)
    assert "nats" not in alone
    assert alone["baselines"] == {"kn_own": pytest.approx(result["baselines"]["kn_own"])}


def test_the_official_regime_and_an_oracle(files, tmp_path, capsys):
    rows = ["person,recording,step,nats"]
    rows += [f"{s.person},{s.steps[0].recording},{i},0.5" for s in TEST for i in range(30)]
    (tmp_path / "oracle.csv").write_text("\n".join(rows) + "\n")
    more = ("--regime", "official", "--oracle", str(tmp_path / "oracle.csv"))
    assert main(arguments(files, *more)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folds"] == 1
    assert told["oracle"]["nats"] == 0.5
    assert told["oracle"]["excess"] == pytest.approx(told["nats"]["joint"] - 0.5)
    unigram = told["baselines"]["unigram"]
    recovered = (unigram - told["nats"]["joint"]) / (unigram - 0.5)
    assert told["oracle"]["recovered"] == pytest.approx(recovered)


def restart(stream: Stream, hours: int) -> Stream:
    """The same life with times that do not begin anew with each recording."""
    names = stream.recordings()
    moved = [
        replace(s, start_ns=s.start_ns + names.index(s.recording) * hours * 3600 * 10**9,
                stop_ns=s.stop_ns + names.index(s.recording) * hours * 3600 * 10**9)
        for s in stream.steps
    ]  # fmt: skip
    return replace(stream, steps=tuple(moved))


def parted(stream: Stream, test: tuple[int, ...]) -> tuple[Stream, Stream]:
    names = [stream.recordings()[i] for i in test]
    return (
        replace(stream, steps=tuple(s for s in stream.steps if s.recording not in names)),
        replace(stream, steps=tuple(s for s in stream.steps if s.recording in names)),
    )


def test_recordings_of_both_files_are_put_in_the_order_lived():
    life = person("P01", recordings=12, steps=5)
    train, test = parted(life, (1, 9))
    task, order = task_of([train], [test])
    assert order == "name"
    assert task.recordings == tuple(f"P01_{i}" for i in range(1, 13))
    judged = {task.recordings[r] for r in task.lives.recording[task.judged]}
    assert judged == {"P01_2", "P01_10"}
    train, test = parted(restart(life, 2), (1, 9))
    shuffled = {s.recording: f"x{hash(s.recording) % 977}" for s in life.steps}
    one, other = (
        replace(s, steps=tuple(replace(x, recording=shuffled[x.recording]) for x in s.steps))
        for s in (train, test)
    )
    task, order = task_of([one], [other])
    assert order == "time"
    assert task.recordings == tuple(shuffled[n] for n in life.recordings())
    one, other = (
        replace(s, steps=tuple(replace(x, recording=x.recording[::-1]) for x in s.steps))
        for s in parted(life, (1, 9))
    )
    assert task_of([one], [other])[1] == "file"


def test_people_who_are_only_in_one_file_are_no_trouble():
    task, _ = task_of(TRAIN[:3], TEST[1:])
    people = task.lives.people
    assert people == ("P01", "P02", "P03", "P04")
    assert sorted(people[p] for f in range(task.folds) for p in task.tested(f)) == [
        "P02", "P03", "P04",
    ]  # fmt: skip


def test_a_class_that_is_not_listed_is_charged_for_all_that_are_not():
    vocabulary = fit_vocabulary(TRAIN)
    strange = Step(0, 1, "P01_5", ("take", "unheard"), (), "start")
    other = replace(TEST[0], steps=(strange, *TEST[0].steps[1:]))
    task, _ = task_of(TRAIN, [other])
    assert task.vocabulary.size == vocabulary.size
    mask = task.judged
    even = np.full((int(mask.sum()), task.lives.size), -np.log(task.lives.size), np.float32)
    judged = judge(task, mask, even)
    charged = np.log(task.lives.size) + np.log(vocabulary.unseen_ways)
    assert -judged.joint[0] == pytest.approx(charged, rel=1e-5)
    assert judged.rank[0] >= 5
    assert not judged.right[0]
    # Chances of a field's values sum to one, whatever the joint list leaves out.
    assert np.exp(judged.fields).max() < 1


def test_field_losses_are_those_of_the_marginals():
    classes = [("a", "x"), ("a", "y"), ("b", "x")]
    steps = tuple(Step(i, i, "r1", row, (), "start" if not i else "none")
                  for i, row in enumerate(classes))  # fmt: skip
    stream = Stream("p", ("verb", "noun"), (), steps)
    task, _ = task_of([stream], [replace(stream, steps=(replace(
        steps[2], recording="r2"),))], classes)  # fmt: skip
    chance = np.array([[0.5, 0.2, 0.3, 1e-12]])
    judged = judge(task, task.judged, np.log(chance))
    assert np.exp(judged.fields[0]) == pytest.approx([0.3, 0.8], abs=1e-6)
    assert judged.rank[0] == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("verb,nun\na,b\n", "has no column 'noun'"),
        ("verb,noun\n", "holds no class"),
        ("verb,noun\na,b\na,b\n", "twice"),
        ("verb,noun\na,\n", "row 2"),
    ],
)
def test_a_bad_list_of_classes_is_told(tmp_path, text, told):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(Damaged, match=told):
        read_classes(tmp_path / "c.csv", ("verb", "noun"))


def test_a_class_outside_the_list_names_file_row_and_column(files, tmp_path, capsys):
    (tmp_path / "c.csv").write_text("verb,noun\ntake,knife\n")
    assert main(arguments(files, "--classes", str(tmp_path / "c.csv"))) == 14
    told = capsys.readouterr().err
    assert "train.csv, row" in told
    assert "columns verb,noun" in told


def test_bad_requests_are_refused(files, tmp_path, capsys):
    assert main(arguments(files, "--only", "magic")) == 2
    assert main(arguments(files, "--regime", "lenient")) == 2
    assert main(arguments(files, "--oracle", str(tmp_path / "none.csv"))) == 10
    (tmp_path / "o.csv").write_text("person,recording,step,nats\np,r,0,nan\n")
    assert main(arguments(files, "--oracle", str(tmp_path / "o.csv"))) == 14
    assert "row 2, column nats" in capsys.readouterr().err
    assert main(arguments(files, "--seed", "-1")) == 2
    assert main(arguments(files, "--per-step", str(files / "test.csv"))) == 2
    with pytest.raises(Usage, match="30 of 30 test steps of P01"):
        task_of(STREAMS, TEST)
    with pytest.raises(Usage, match="thing"):
        task_of(TRAIN, [replace(TEST[0], own=("verb", "thing"))])
    with pytest.raises(NotFound):
        figures.write_steps(pyarrow.table({}), tmp_path / "no" / "x.parquet")


def test_a_closed_list_has_exactly_its_classes():
    vocabulary = closed(fit_vocabulary(TRAIN), [("take", "knife"), ("put", "pan")])
    assert vocabulary.classes == (("put", "pan"), ("take", "knife"))
    assert vocabulary.own == {"verb": ("put", "take"), "noun": ("knife", "pan")}


def test_the_mixture_is_at_least_as_good_as_its_best_part():
    """The mixture is at least as good on what it was fitted on as the best single expert."""
    task, _ = task_of(TRAIN, TEST)
    counted = baselines.count_all(task.lives, task.known, [0], task.judged)[0]
    known = task.known[counted.steps]
    chosen = baselines.choose([counted], [known])
    named = baselines.named(counted, known, chosen)
    best = max(value.mean() for name, value in named.items() if name != "mixture")
    assert named["mixture"].mean() >= best - 0.01
    assert named["uniform"] == pytest.approx(-np.log(task.lives.size))
