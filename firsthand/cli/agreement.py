"""`firsthand agreement`: what wearers sign with the organisation, and what lies in quarantine."""

from pathlib import Path
from typing import Annotated, Any

import typer

from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.texts import answer_quiz, known_text, new_text
from firsthand.cli.vaults import count, moment, opened, when
from firsthand.consent import people
from firsthand.consent.access import askers
from firsthand.consent.liability import agreement
from firsthand.consent.terms import text
from firsthand.errors import Usage

app = noun("What wearers sign with the organisation, and what lies in quarantine.")

PersonName = Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")]
Start = Annotated[str, typer.Argument(metavar="START", help="As 2026-01-05T08:30:00, UTC.")]
Stop = Annotated[str, typer.Argument(metavar="STOP", help="As START; not included.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("text", epilog=exits(10))
def text_(
    version: Annotated[
        str | None, typer.Option(help="Version of the text; the one in force unless given.")
    ] = None,
) -> None:
    """Print the words that wearers sign."""
    say(_text(version).words.rstrip())


@app.command(epilog=exits(10, 13))
def adopt(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="Such as wearer1, or the name of your own.")
    ],
    words: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The words of your own text.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its quiz, and what it does to older ones (JSON)."),
    ] = None,
) -> None:
    """Ask every wearer for an agreement from now on; without one footage is in quarantine."""
    new = new_text(version, words, data, "agreement")
    text.check(new)
    with opened() as vault, vault.db.write() as connection:
        index = text.adopt(connection, new, vault.now_ns())
        since_ns = agreement.since(connection)
    say(f"text {version} is to be signed (log entry {index})")
    say(f"what is recorded without an agreement after {when(since_ns)} is in quarantine")


@app.command(epilog=exits(10, 13))
def quiz(
    person: PersonName,
    answers_: Annotated[
        str | None,
        typer.Option("--answers", metavar="N,N,...", help="Numbers of the choices; else asked."),
    ] = None,
    of_age: Annotated[bool, typer.Option("--of-age", help="I am an adult.")] = False,
    own_hand: Annotated[
        bool, typer.Option("--own-hand", help="I am that person, and speak for myself.")
    ] = False,
) -> None:
    """Show that you understood what you were trained to do, before you sign."""
    answer_quiz(person, agreement.asked, answers_, of_age, own_hand)


@app.command(epilog=exits(10, 13))
def sign(
    person: PersonName,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="End; as long as the text allows if none.")
    ] = None,
    by: Annotated[str, typer.Option(help="Who signs: nobody else can.")] = "",
) -> None:
    """Sign the text in force as the wearer, from now on; it frees nothing of before."""
    with opened() as vault, vault.db.write() as connection:
        found = people.find(connection, person)
        stop_ns = moment(until) if until else None
        signed = agreement.sign(connection, found, stop_ns=stop_ns, now_ns=vault.now_ns(), by=by)
    say(f"{person} signs {signed.text_version} until {when(signed.stop_ns)} ({signed.id})")


@app.command(epilog=exits(10))
def end(person: PersonName) -> None:
    """End a person's agreement now; what they record from here on is in quarantine."""
    with opened() as vault, vault.db.write() as connection:
        ended = agreement.end(connection, people.find(connection, person), vault.now_ns())
    say(f"{count(ended, 'agreement')} of {person} ended")


@app.command(epilog=exits(10))
def show(
    person: Annotated[
        str | None, typer.Argument(metavar="PERSON", help="Name or id; everybody, if none.")
    ] = None,
    json_: Json = False,
) -> None:
    """Show who has signed until when, and how much of theirs lies in quarantine."""
    from firsthand.vault import quarantine

    with opened() as vault, vault.db.read() as connection:
        now_ns = vault.now_ns()
        crowd = [people.find(connection, person)] if person else people.listed(connection)
        found: list[dict[str, Any]] = []
        for each in crowd:
            if each.status == "erased":
                continue
            kept_ns = quarantine.length_ns(connection, each)
            signed = [vars(one) for one in agreement.of(connection, each.id)]
            until_ns = agreement.in_force(connection, each, now_ns)
            row = {"person": each.id, "name": each.name, "until_ns": until_ns}
            found.append(row | {"quarantined_s": kept_ns / 1e9, "signed": signed})
    if json_:
        show_json(found)
        return
    table(
        ["person", "in force until", "quarantined s"],
        [[row["name"], when(row["until_ns"]), f"{row['quarantined_s']:.0f}"] for row in found],
        right="quarantined s",
    )


@app.command(epilog=exits(10, 12, 13))
def free(
    person: PersonName,
    start: Start,
    stop: Stop,
    key: Annotated[
        str,
        typer.Option(
            "--key", envvar="FIRSTHAND_MY_KEY", help="A reviewer's own key.", show_envvar=False
        ),
    ] = "",
) -> None:
    """Let an interval out of quarantine as a reviewer, once its wearer has signed."""
    if not key:
        raise Usage("say who you are: --key, or FIRSTHAND_MY_KEY", "see firsthand access give")
    with opened() as vault, vault.db.write() as connection:
        reviewer, found = askers.by_key(connection, key), people.find(connection, person)
        bounds = moment(start), moment(stop)
        done = agreement.free(connection, found, *bounds, reviewer, vault.now_ns())
    say(f"{person}: {when(done.start_ns)} to {when(done.stop_ns)} is freed by {done.reviewer}")


@app.command(epilog=exits(10, 13))
def export(
    person: PersonName,
    start: Start,
    stop: Stop,
    by: Annotated[str, typer.Option(help="Who takes it out; the person reads it.")],
    why: Annotated[str, typer.Option(help="The reason; the person reads it.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there.")] = None,
) -> None:
    """Take out what counsel asks for: agreements, quizzes, policies, incidents (JSON)."""
    from firsthand.release import bundle
    from firsthand.vault import counsel

    with opened() as vault:
        found = vault.person(person)
        told = counsel.tell(vault, found, moment(start), moment(stop), by, why)
    if out is None:
        show_json(told)
        return
    bundle.write(out, told)
    say(f"what counsel asks of {person} is in {out}")


def _text(version: str | None) -> text.Text:
    found = known_text(version, agreement.asked)
    if found.kind != "agreement":
        raise Usage(f"text {version} is no agreement", f"see: firsthand {found.kind} text")
    return found
