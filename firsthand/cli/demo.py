"""`firsthand demo`: the whole way at once, from a lens to a prediction, in a folder of its own."""

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from firsthand import config
from firsthand.cli import cast, invocation
from firsthand.cli.nouns import exits, single
from firsthand.cli.output import progress, say, show_json, table
from firsthand.config import Settings
from firsthand.errors import Failed, Partial

command = single()
FOLDER = Path("firsthand-demo")
SUMMARY = "summary.json"


@command.command(epilog=exits(3, 10, 13))
def demo(
    footage: Annotated[
        list[Path] | None,
        typer.Option(help="Your own recordings: a file or a folder, repeatable; one person each."),
    ] = None,
    files: Annotated[list[Path] | None, typer.Argument(help="More recordings.")] = None,
    small: Annotated[bool, typer.Option("--small", help="Fewer people and days: seconds.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the simulated people and the model.")] = 1,
    again: Annotated[bool, typer.Option("--again", help="Do it anew even if it is done.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Record, carry home, consent, release, learn and emulate, on simulated people or on files.

    Everything lies in firsthand-demo (or --data), marked as a demo; a finished demo with the same
    arguments is shown again. With files that carry no labels no claim of skill is made.
    """
    given = [*(footage or []), *(files or [])]
    size = cast.SMALL if small else cast.FULL
    players = cast.from_files(given) if given else cast.simulated(size, seed)
    settings = invocation.demo_settings(FOLDER)
    config.mark(settings.data, "demo")
    asked = {"players": [asdict(player) for player in players], "size": asdict(size), "seed": seed}
    asked = json.loads(json.dumps(asked))
    summary = None if again else _finished(settings.data, asked)
    if summary is None:
        summary = _whole_way(settings, players, size, seed, bool(given))
        text = json.dumps({"asked": asked, "summary": summary}, indent=1) + "\n"
        (settings.data / SUMMARY).write_text(text)
    elif not json_:
        say("this demo is done already; --again does it anew")
    if json_:
        show_json(summary)
    else:
        _show(summary, settings.data)
    if summary["rejected"]:
        raise Partial(
            f"{len(summary['rejected'])} of {len(players)} recordings could not be used in full",
            "see why above; the others went the whole way",
        )


def _finished(folder: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    try:
        held = json.loads((folder / SUMMARY).read_text())
        return held["summary"] if held["asked"] == asked else None
    except (OSError, ValueError, KeyError):
        return None


def _whole_way(
    settings: Settings, players: list[cast.Player], size: cast.Size, seed: int, real: bool
) -> dict[str, Any]:
    from firsthand.cli import stages
    from firsthand.release import make, pull
    from firsthand.vault.vault import Vault

    began = time.monotonic()
    stages.clear(settings.data)
    vault = Vault(settings)
    try:
        everyone = stages.enrol(vault, players)
        expected = None if real else len(players) * size.days * -(-size.day_s // 60)
        with progress("record", expected) as move:
            stages.record_all(everyone, 2, move)
        members = [member for member in everyone if member.recorded] or _nothing(everyone)
        with stages.served(settings) as port, progress("carry home", _waiting(members)) as move:
            carried, breaks = stages.carry_all(members, port, move)
        with progress("consent"):
            run, refused = stages.consent_all(vault, members)
        with progress("release") as move:
            release = make.make(vault, run, 2, move)
        folder = pull.pull(vault, release.id, settings.data / "pulled" / release.id, "demo")
        evaluation, days = _learn(vault, members, release.id, folder, size, seed, real)
        summary = _summary(vault, members, carried, breaks, refused, release, evaluation)
        summary["rejected"] = _rejected(everyone)
        summary["wall_s"] = round(time.monotonic() - began, 1)
        _report(settings.data, summary, evaluation, days)
    finally:
        vault.close()
    return summary


def _nothing(members: list[Any]) -> list[Any]:
    reasons = "; ".join(failure for member in members for failure in member.failures)
    raise Failed(f"none of these recordings can be used: {reasons}", "give other files")


def _rejected(members: list[Any]) -> list[dict[str, str]]:
    return [
        {"file": Path(member.player.cameras[0]).name, "error": failure}
        for member in members
        for failure in member.failures
    ]


def _waiting(members: list[Any]) -> int:
    from firsthand.record.card.card import Card

    return sum(len(Card(member.device.folder / "card").waiting()) for member in members)


def _learn(
    vault: Any,
    members: list[Any],
    release: str,
    folder: Path,
    size: cast.Size,
    seed: int,
    real: bool,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Trains, judges on the held-out day, and emulates it for each person who allows it."""
    from firsthand.cli import stages
    from firsthand.cli.emulate import resolve
    from firsthand.emulate import fidelity
    from firsthand.errors import NotFound
    from firsthand.learn import evaluate, train
    from firsthand.release.make import name_in

    out = vault.settings.data / "models" / release
    fit_s = cast.SMALL.fit_s if real else size.fit_s
    with progress("learn", 1.0) as move:
        train.train(
            release=folder, out=out, seconds=fit_s, seed=seed, progress=lambda _, share: move(share)
        )
    names = {}
    with vault.db.read() as connection:
        for member in members:
            try:
                names[member.person.id] = name_in(connection, release, member.person.id)
            except NotFound:
                continue  # said no to the run
    rows = None
    if not real:
        rows = stages.oracle_rows(members, names, seed, size.days, size.day_s)
    with progress("judge"):
        evaluation = evaluate.evaluate(out, rows)
        days = []
        for member in members:
            if names.get(member.person.id) in evaluation["per_person"]:
                name, door = resolve(vault, member.person.id, out)
                person_rows = fidelity.day(out, name, ask=door)
                days.append({"person": member.person.name, "name": name, "rows": person_rows})
    return evaluation, days


def _summary(
    vault: Any,
    members: list[Any],
    carried: list[Any],
    breaks: int,
    refused: str,
    release: Any,
    evaluation: dict[str, Any],
) -> dict[str, Any]:
    from firsthand.vault import catalog, check

    with vault.db.read() as connection:
        stored = [s for m in members for s in catalog.of_person(connection, m.person.id)]
        missing = sum(catalog.missing_records(connection, m.person.id) for m in members)
    recorded_ns = sum(member.footage_ns for member in members)
    stored_ns = sum(segment.stop_ns - segment.start_ns for segment in stored)
    gain = evaluation["history_gain"] or {}
    return {
        "people": len(members),
        "segments": len(stored),
        "footage_s": round(recorded_ns / 1e9, 3),
        "bytes_recorded": sum(each.size_bytes for m in members for each in m.recorded),
        "bytes_stored": sum(segment.size_bytes for segment in stored),
        "bytes_sent": sum(each.bytes_sent for each in carried),
        "link_breaks": breaks,
        "lost_s": round(max(0, recorded_ns - stored_ns) / 1e9, 3),
        "records_missing": missing,
        "store_faults": check.check(vault).faults,
        "left_on_cards": sum(each.left for each in carried),
        "withheld_s": round(release.summary["withheld_ns"] / 1e9, 3),
        "refused_people": [refused] if refused else [],
        "release": {
            "id": release.id,
            "people": release.summary["people"],
            "samples": release.summary["samples"],
            "footage_s": round(release.summary["footage_ns"] / 1e9, 3),
            "scrubber": release.manifest["manifest"]["scrubber"]["statement"],
        },
        "model": {
            "target": evaluation["target"],
            "nats_per_action": evaluation["nats_per_action"],
            "nats_per_own_slot": evaluation["nats_per_own_slot"],
            "network_alone": evaluation["network_alone"],
            "baselines": evaluation["baselines"],
            "oracle": evaluation["oracle"],
            "excess": evaluation["excess"],
            "recovered": evaluation["recovered"],
            "history_gain": gain.get("nats"),
            "history_gain_interval": [gain.get("low"), gain.get("high")],
            "top1": evaluation["top1"],
            "ece": evaluation["ece"],
            "steps": evaluation["steps"],
        },
    }


def _report(folder: Path, summary: dict[str, Any], evaluation: dict[str, Any], days: Any) -> None:
    from firsthand.web.report import render_report

    text = render_report(summary, evaluation, days)
    (folder / "report.html").write_text(text, encoding="utf-8")


def _show(summary: dict[str, Any], folder: Path) -> None:
    from firsthand.cli.learn import scores
    from firsthand.cli.vaults import length

    release, model = summary["release"], summary["model"]
    refused = ", ".join(summary["refused_people"]) or "nobody"
    rows = [
        ("recorded", f"{length(summary['footage_s'])} of {summary['people']} people"),
        ("stored", f"{summary['segments']} segments, {summary['bytes_stored'] / 1e6:.1f} MB, each "
                   f"receipted, over a link that broke {summary['link_breaks']} times"),
        ("lost", f"{summary['lost_s']:g} s"),
        ("withheld", length(summary["withheld_s"])),
        ("said no to the run", refused),
        ("released", f"{release['samples']} samples of {release['people']} people, "
                     f"{length(release['footage_s'])}"),
    ]  # fmt: skip
    for item in summary["rejected"]:
        rows.append(("not used in full", f"{item['file']}: {item['error']}"))
    table(["what", "how much"], rows, title="What was done")
    scores(model)
    say(_verdict(model))
    say(release["scrubber"])
    wide = shutil.get_terminal_size().columns
    say("-" * min(wide, 72))
    say(f"{summary['wall_s']:.0f} s in all. Report: {folder / 'report.html'}; pages: make serve")


def _verdict(model: dict[str, Any]) -> str:
    if model["nats_per_action"] is None:
        return (
            "These recordings carry no labels, so the target is the next token of the wearer's own "
            "motion and sound. No claim of skill is made."
        )
    low, high = model["history_gain_interval"]
    words = (
        f"Held-out day, {model['steps']} actions: right at the first guess "
        f"{100 * model['top1']:.0f} % of the time. A person's own past is worth "
        f"{model['history_gain']:.3f} nats an action [{low:.3f}, {high:.3f}]."
    )
    if model["oracle"] is not None:
        words += (
            f" {model['excess']:.3f} nats remain to the best possible predictor; "
            f"{100 * model['recovered']:.0f} % of the way from unigram is gone."
        )
    return words
