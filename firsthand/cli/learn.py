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
    json_: Json = False,
) -> None:
    """Train a model; interrupted and started again, it goes on where it was."""
    from firsthand.learn import streams, train

    if bool(release) == (stream is not None):
        raise Usage("training takes a release or --stream FILE", "give exactly one of them")
    folder = out or invocation.settings().data / "models" / (release or "stream")
    source: dict[str, Any] = {}
    if stream is not None:
        source["streams"] = streams.read_streams(stream)
    else:
        source["release"] = fetch(release)
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
