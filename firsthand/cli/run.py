"""`firsthand run`: proposed uses of data, on which each person decides."""

from typing import Annotated

import typer

from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import count, moment, opened, when
from firsthand.consent import ask, people
from firsthand.consent.runs import answers, proposals, snapshots
from firsthand.consent.runs import approvals as approving
from firsthand.consent.terms.vocabulary import STREAMS
from firsthand.vault.vault import Vault

app = noun("Proposed uses of data, on which each person decides.")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]
ApprovalId = Annotated[str, typer.Argument(metavar="APPROVAL", help="Its number.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog=exits())
def propose(
    title: Annotated[
        str, typer.Argument(metavar="TITLE", help="What the run is for, in few words.")
    ],
    permission: Annotated[
        list[str], typer.Option("--for", help='A purpose, see "consent codes"; repeatable.')
    ],
    model: Annotated[str, typer.Option(help="What is trained.")] = "a small sequence model",
    weights: Annotated[str, typer.Option(help="Who gets the weights.")] = "nobody else",
    days: Annotated[int, typer.Option(help="For how many days data and model are kept.")] = 365,
    commercial: Annotated[bool, typer.Option(help="Whether it earns money.")] = False,
    ethics_approval: Annotated[
        str, typer.Option(help='Number of an ethics approval, see "run approvals".')
    ] = "",
    stream: Annotated[
        list[str] | None,
        typer.Option(help="A stream that it uses: video, motion, sound, events; repeatable."),
    ] = None,
    licence: Annotated[str, typer.Option(help="What who gets it may do.")] = (
        "no one may pass it on"
    ),
    offer: Annotated[
        list[str] | None,
        typer.Option(help="A condition that it binds itself to, such as GS=NL; repeatable."),
    ] = None,
    bonus: Annotated[
        int, typer.Option(metavar="CENTS", help="For deciding: as much for a no as for a yes.")
    ] = 0,
) -> None:
    """Put a proposal to everyone; silence is no."""
    proposal = proposals.Proposal(
        title,
        tuple(permission),
        model,
        weights,
        days,
        commercial,
        ethics_approval,
        tuple(stream or STREAMS),
        licence,
        tuple(offer or ()),
        bonus,
    )
    with opened() as vault, vault.db.write() as connection:
        run = proposals.propose(connection, proposal)
    say(f"run {run.id} is proposed: {title}")
    say(f"each person decides: firsthand run vote {run.id} PERSON yes|no")


@app.command(epilog=exits(10, 13))
def vote(
    run: RunId,
    person: Annotated[str, typer.Argument(metavar="PERSON", help="Name or id.")],
    choice: Annotated[str, typer.Argument(metavar="yes|no", help="The answer.")],
) -> None:
    """Cast or change a person's ballot on a run."""
    with opened() as vault, vault.db.write() as connection:
        answers.vote(
            connection, proposals.find(connection, run), people.find(connection, person), choice
        )
    say(f"{person} says {choice} to run {run}")


@app.command("list", epilog=exits())
def list_(json_: Json = False) -> None:
    """List all runs."""
    with opened() as vault, vault.db.read() as connection:
        found = proposals.listed(connection)
    if json_:
        show_json(
            [{"id": run.id, "proposed_ns": run.proposed_ns} | vars(run.proposal) for run in found]
        )
    else:
        rows = [
            [run.id, run.proposal.title, " ".join(run.proposal.permissions), when(run.proposed_ns)]
            for run in found
        ]
        table(["run", "title", "for", "proposed"], rows)


@app.command(epilog=exits(10))
def show(run: RunId, json_: Json = False) -> None:
    """Show a proposal, each person's answer, and whether their footage may be used."""
    with opened() as vault:
        found, decisions = _decisions(vault, run)
    if json_:
        said = {"id": found.id, "proposal": vars(found.proposal), "ends_ns": found.ends_ns}
        show_json(said | {"people": decisions})
        return
    say(f"run {found.id}: {found.proposal.title}")
    for name, value in vars(found.proposal).items():
        say(f"  {name.replace('_', ' ')}: {' '.join(value) if type(value) is tuple else value}")
    columns = ["person", "answer", "allowed", "why"]
    table(columns, [[row[name] for name in columns] for row in decisions])


@app.command(epilog=exits(10))
def snapshot(run: RunId) -> None:
    """Note in the log who allows a run now; "release make --snapshot" then holds to it."""
    with opened() as vault, vault.db.write() as connection:
        found = proposals.find(connection, run)
        taken = snapshots.take(connection, found, vault.now_ns())
    say(f"snapshot {taken.log_index} of run {run}: {count(len(taken.allowed), 'person', 'people')}")
    say(f"to use it: firsthand release make {run} --snapshot {taken.log_index}")


@app.command(epilog=exits())
def approvals(json_: Json = False) -> None:
    """List ethics approvals; one that has expired or was ended counts for nothing."""
    with opened() as vault, vault.db.read() as connection:
        found = approving.listed(connection)
        now_ns = vault.now_ns()
    if json_:
        show_json([vars(each) | {"holds": each.holds(now_ns)} for each in found])
        return
    rows = [
        [
            *(each.id, " ".join(each.scope), each.reviewer, when(each.expires_ns)),
            "yes" if each.holds(now_ns) else "no",
        ]
        for each in found
    ]
    table(["approval", "for", "by", "until", "holds"], rows)


@app.command("add-approval", epilog=exits())
def add_approval(
    approval: ApprovalId,
    permission: Annotated[
        list[str], typer.Option("--for", help='A purpose, see "consent codes"; repeatable.')
    ],
    by: Annotated[str, typer.Option(help="The board that gave it.")],
    until: Annotated[str, typer.Option(metavar="TIME", help="When it expires, UTC.")],
) -> None:
    """Record an ethics approval, or its renewal."""
    with opened() as vault, vault.db.write() as connection:
        ends_ns = moment(until)
        approving.add(connection, approval, permission, by, ends_ns, vault.now_ns())
    say(f"approval {approval} by {by} holds until {when(ends_ns)}")


@app.command("end-approval", epilog=exits(10))
def end_approval(approval: ApprovalId) -> None:
    """End an ethics approval before its time."""
    with opened() as vault, vault.db.write() as connection:
        approving.end(connection, approval, vault.now_ns())
    say(f"approval {approval} has ended")


def _decisions(vault: Vault, run: str) -> tuple[proposals.Run, list[dict[str, object]]]:
    with vault.db.read() as connection:
        found = proposals.find(connection, run)
        rows: list[dict[str, object]] = []
        for person in people.listed(connection):
            decision = ask.for_run(connection, found, person)
            rows.append(
                {
                    "person": person.name,
                    "answer": answers.answer(connection, found, person.id),
                    "allowed": "yes" if decision.allowed else "no",
                    "why": "; ".join(decision.reasons),
                }
            )
    return found, rows
