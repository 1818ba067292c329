"""`firsthand learn`: train and evaluate a model on a release, or on a public event file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from firsthand.cli import invocation
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import progress, say, show_json, table
from firsthand.cli.vaults import count, opened
from firsthand.errors import Usage

app = noun("Train and evaluate a model on a release.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of the model.")]


@app.command(epilog=exits(10, 13, 14))
def train(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="Id of the release.")] = "",
    stream: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A CSV or Parquet of events instead.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the model.")] = None,
    seconds: Annotated[float, typer.Option(help="Time to fit the network.")] = 60.0,
    size: Annotated[int, typer.Option(help="One dial: width, depth, batch and rate.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of all chance.")] = 0,
    classes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --stream: CSV with the closed list of classes."),
    ] = None,
    kind: Annotated[
        str, typer.Option(help="Of a release: events or ticks; else by whether it has labels.")
    ] = "",
    encoder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Of a release: pretrained picture encoder to use."),
    ] = None,
    json_: Json = False,
) -> None:
    """Train a model; on a release, an interrupted training goes on where it was.

    On a stream file of events, counts of each person's whole past are mixed and ranked by what
    other people's lives teach: the model of "learn benchmark". Time and size then follow the file.
    """
    from firsthand.learn import streams, train
    from firsthand.learn.tokens import ticks

    if bool(release) == (stream is not None):
        raise Usage("training takes a release or --stream FILE", "give exactly one of them")
    folder = out or invocation.settings().data / "models" / (release or "stream")
    source: dict[str, Any] = {}
    if stream is not None:
        lives = [ticks.recognise(life) for life in streams.read_streams(stream)]
        if lives[0].kind == "events":
            _train_on(lives, stream.name, classes, folder, seed, json_)
            return
        source["streams"] = lives
    else:
        source |= {"release": fetch(release), "kind": kind or None, "encoder": encoder}
    with progress("learn", 1.0) as move:
        summary = train.train(
            **source,
            out=folder,
            seconds=seconds,
            size=size,
            seed=seed,
            progress=lambda _stage, share: move(share),
        )
    if json_:
        show_json(summary)
    else:
        say(
            f"model {folder}: {summary['parameters']} parameters, {summary['steps']} steps of "
            f"{count(summary['people'], 'person', 'people')} in {summary['wall_s']:.0f} s"
        )


def _train_on(
    lives: list[Any], file: str, classes: Path | None, out: Path, seed: int, json_: bool
) -> None:
    """Train the predictor of event streams."""
    from firsthand.learn import classes as lists
    from firsthand.learn.past import model

    listed = lists.read_classes(classes, lives[0].own) if classes else None
    for life in lives if listed else []:
        lists.check_listed(life, set(listed or ()), file)
    with progress("learn", 1.0) as move:
        summary = model.train(lives, out, listed, seed, move)
    if json_:
        show_json(summary)
    else:
        people = count(summary["people"], "person", "people")
        say(f"model {out}: {summary['steps']} steps of {people} in {summary['wall_s']:.0f} s")


@app.command("eval", epilog=exits(10, 14))
def eval_(
    model: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the model.")],
    stream: Annotated[Path, typer.Option(metavar="FILE", help="CSV or Parquet to foretell.")],
    json_: Json = False,
) -> None:
    """Foretell every step of a stream file with a model that was trained on one.

    People whom the model knows go on from their remembered past; others begin without one.
    """
    from firsthand.learn import evaluate, streams
    from firsthand.learn.past import model as past
    from firsthand.learn.tokens import ticks

    lives = [ticks.recognise(life) for life in streams.read_streams(stream)]
    if lives[0].kind == "ticks":
        slots = evaluate.evaluate(model, streams=lives)
        show_json(slots) if json_ else scores(slots)
        return
    with progress("eval", 1.0) as move:
        result = past.evaluate(model, lives, move)
    if json_:
        show_json(result)
    else:
        rows = [(name, f"{value:.3f}") for name, value in result["nats"].items()]
        table(["foretold", "nats per step"], rows, right="nats per step")
        people = count(result["people"], "person", "people")
        say(f"{result['n']} steps of {people}; first guess right {100 * result['top1']:.0f} %.")


@app.command(epilog=exits(10, 14))
def benchmark(
    train: Annotated[Path, typer.Option(metavar="FILE", help="CSV or Parquet to learn from.")],
    test: Annotated[Path, typer.Option(metavar="FILE", help="CSV or Parquet to foretell.")],
    classes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV with the closed list of classes.")
    ] = None,
    regime: Annotated[
        str, typer.Option(help="strict: fitted on other people only. official: on all training.")
    ] = "strict",
    oracle: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of the best predictor's nats.")
    ] = None,
    per_step: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Parquet to write: a row for each step.")
    ] = None,
    only: Annotated[str, typer.Option(help="The model, or one baseline, alone.")] = "",
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep finished parts here; go on from them."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all chance.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes; 0: one for each core.")] = 0,
    json_: Json = False,
) -> None:
    """Foretell every step of the test recordings, the model and all baselines in one run.

    A person's own earlier steps are used as they come to pass. The baselines are uniform,
    unigram, kn_pooled, kn_own, kn_recording, knn and mixture.
    """
    from firsthand.learn import classes as lists
    from firsthand.learn import streams
    from firsthand.learn.benchmark import figures, work
    from firsthand.learn.benchmark.oracle import read_oracle
    from firsthand.learn.benchmark.task import task_of

    if per_step:
        figures.check_writable(per_step)
        if per_step.resolve() in (train.resolve(), test.resolve()):
            raise Usage(f"{per_step} is read from", "name another file to write")
    known = streams.read_streams(train)
    asked = streams.read_streams(test)
    listed = lists.read_classes(classes, known[0].own) if classes else None
    for file, lives in ((train, known), (test, asked)):
        for stream in lives if listed else []:
            lists.check_listed(stream, set(listed or ()), file.name)
    best = read_oracle(oracle) if oracle else None
    task, order = task_of(known, asked, listed, regime, seed=seed)
    with progress("benchmark", 1.0) as move:
        found = work.run(task, keep, jobs or None, only or None, move)
    result, steps = figures.summarise(task, found, order, best, only or None)
    if json_:
        show_json(result)
    else:
        compared(result)
    if per_step:
        figures.write_steps(steps, per_step)


def compared(result: dict[str, Any]) -> None:
    """Prints a benchmark's losses, the best last, and what else was measured."""
    rows = sorted(result.get("baselines", {}).items(), key=lambda row: -row[1])
    if "nats" in result:
        rows.append(("model", result["nats"]["joint"]))
    if result.get("oracle"):
        rows.append(("oracle (the limit)", result["oracle"]["nats"]))
    shown = [(name, f"{value:.3f}") for name, value in rows]
    table(["predictor", "nats per step"], shown, right="nats per step")
    say(f"{result['n']} steps of {count(result['people'], 'person', 'people')}, {result['regime']}")
    told = (result.get("oracle") or {}).get("n", result["n"])
    if told < result["n"]:
        say(f"the oracle has a row for {told} of them; its figures are of these alone")
    if "history_gain" in result:
        gain = result["history_gain"]
        say(
            f"The own past is worth {gain['nats']:.3f} nats a step "
            f"[{gain['low']:.3f}, {gain['high']:.3f}]; right at the first guess "
            f"{100 * result['top1']:.0f} % of the time."
        )


@app.command(epilog=exits(10, 14))
def evaluate(
    model: ModelFolder,
    json_: Json = False,
) -> None:
    """Judge a model on each person's held-out last day, baselines beside it."""
    from firsthand.learn import evaluate

    result = evaluate.evaluate(model)
    if json_:
        show_json({name: value for name, value in result.items() if name != "per_step"})
    else:
        scores(result)


def scores(result: dict[str, Any]) -> None:
    """Prints an evaluation as a table, the model among its baselines, best last."""
    ours = {"network alone": result["network_alone"], "model": mean_of(result)}
    named = result["baselines"] | ours
    known = [(name, value) for name, value in named.items() if value is not None]
    rows = sorted(known, key=lambda row: -row[1])
    if result.get("oracle") is not None:
        rows.append(("oracle (the limit)", result["oracle"]))
    unit = "nats per action" if result["nats_per_action"] is not None else "nats per own slot"
    table(["predictor", unit], [(name, f"{value:.3f}") for name, value in rows], right=unit)


def mean_of(result: dict[str, Any]) -> float:
    """The model's nats per action, or per own slot where there are no actions."""
    per_action = result["nats_per_action"]
    return result["nats_per_own_slot"] if per_action is None else per_action


def fetch(release: str) -> Path:
    """The pulled folder of a release, its grant renewed; consent is asked anew."""
    from firsthand.cli.release import pulled
    from firsthand.release import pull

    with opened() as vault:
        return pull.pull(vault, release, pulled(release), "learn")
