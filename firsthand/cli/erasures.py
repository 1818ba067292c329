"""What person and release have in common when something is erased: telling it before and after."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from firsthand.cli.output import say, show_json
from firsthand.cli.vaults import count, length, trained_on, when
from firsthand.consent import erasure

if TYPE_CHECKING:
    from firsthand.release.erase import Plan
    from firsthand.vault.vault import Vault


def beyond(data: Path, releases: list[str]) -> dict[str, list[str]]:
    """Models trained on these releases, and copies pulled of them: what no erasure reaches."""
    models = trained_on(data / "models")
    return {
        "models": sorted(name for name, release in models.items() if release in releases),
        "pulled": [release for release in releases if (data / "pulled" / release).is_dir()],
    }


def tell(data: Path, name: str, plan: "Plan", scope: str) -> None:
    """Says what would be destroyed, before anything is."""
    days = count(plan.days, "day")
    told = f"{count(plan.segments, 'segment')} on {days}, {length(plan.footage_ns / 1e9)}"
    rest = ", all keys and all consents" if scope == "person" else ""
    say(f"this destroys of {name}: {told}, {plan.size_bytes} bytes{rest}")
    if plan.releases:
        say(
            f"  {name} leaves {count(len(plan.releases), 'release')} with all shards of theirs: "
            f"{' '.join(plan.releases)}; made anew, a release has the rest again"
        )
    if plan.runs:
        say(f"  seen by {count(len(plan.runs), 'run')}: {' '.join(plan.runs)}")
    tell_beyond(beyond(data, plan.releases))


def tell_beyond(found: dict[str, list[str]]) -> None:
    """Says what no erasure undoes."""
    if found["models"]:
        say(f"  not undone: models trained on it, in models/: {' '.join(found['models'])}")
    if found["pulled"]:
        say(f"  not undone: copies that were pulled, in pulled/: {' '.join(found['pulled'])}")


def show(vault: "Vault", order: erasure.Order, json_: bool) -> None:
    """Says what became of an order: hidden, and until when, or gone, and its two times."""
    if order.done_ns is None:
        if json_:
            show_json(vars(order) | {"state": order.state})
            return
        say(f"hidden now; destroyed after {when(order.due_ns)} UTC, as erasure {order.id}")
        say(f"until then it comes back by: firsthand person unerase {order.id}")
        return
    from firsthand.vault import erased

    receipt = erased.receipt(vault, order.id)
    if json_:
        show_json(receipt)
        return
    body = receipt["erasure"]
    gone = count(body["outcome"].get("segments", 0), "segment")
    say(f"erased: {gone}, {body['outcome'].get('bytes', 0)} bytes, as erasure {order.id}")
    say(f"gone from the live system {when(body['gone_live_ns'])} UTC: log entry {order.done_index}")
    say(backups(body))
    say(f"the signed receipt: firsthand person receipt {order.id}")


def backups(body: dict[str, Any]) -> str:
    """The second time of a receipt, in words."""
    if body["gone_backups_ns"] is None:
        return (
            f"gone from every backup by {when(body['gone_backups_by_ns'])} UTC, when the epoch ends"
        )
    return (
        f"gone from every backup {when(body['gone_backups_ns'])} UTC: epoch {body['epoch']} ended"
    )
