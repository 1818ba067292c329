"""An outsider's audit: a proof, or a whole release, judged from the log and what opens it.

It shares no code with what decides and selects, and needs no database: entries, a bundle, the log's
key. Each byte of a release must have had, at the release's place in the log, all that the one
invariant asks for; what can't be shown counts as missing.
"""

import hashlib
import hmac
import json
import urllib.request
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from firsthand import tiles, tlog
from firsthand.crypto import VerifyKey, canonical
from firsthand.errors import Damaged, Failed, NotFound, WrongKey
from firsthand.shard import MANIFEST_CONTEXT

DAY_NS = 86_400 * 10**9
MONTH_NS = 30 * DAY_NS
BORDER_NS = 60 * 10**9  # a place begins so much earlier and ends so much later than was said
ATTESTED = 2  # so many make a death, from which on nothing is used
REVIEW_DAYS = 7  # where a person set no window of their own
# What a permission stands under; it is contained in each that stands above it.
ABOVE = {
    "DUO:0000042": "DUO:0000004",
    "DUO:0000006": "DUO:0000042",
    "DUO:0000011": "DUO:0000042",
    "DUO:0000007": "DUO:0000006",
    "DUO:0000043": "DUO:0000004",
    "fh:emulate-self": "fh:emulate-by-others",
}
# Entries about a person that say nothing on what may be used; all others must be opened, and one
# of a kind that is in neither list can't be judged.
SILENT = {
    *("person_added", "device_enrolled", "device_revoked", "device_forked", "read", "emulated"),
    *("quiz_taken", "attested", "consent_refused", "access_given", "access_revoked"),
    *("view_asked", "view_approved", "view_answered", "view_granted", "glass_broken"),
    *("personal_key_set", "file_keys_given", "wanted", "pause_asked", "ledger_posted"),
    *("directive_set", "directive_used", "death_attested", "death_denied", "employer_named"),
    *("trait_said", "trait_taken_back", "decision_reviewed", "zone_named"),
    *("incident_noted", "counsel_told", "freeing_reviewed", "data_valued"),
}
TELLING = {
    *("consent_given", "consent_withdrawn", "consent_expired", "person_withdrawn"),
    *("rule_set", "ballot_cast"),
    *("withheld", "withhold_lifted", "bystander_hold", "bystander_decided"),
    *("erasure_ordered", "erasure_undone", "session_placed"),
    *("review_window_set", "days_reviewed"),
    *("jurisdiction_set", "zone_said", "zone_ended", "work_permitted", "permit_revoked"),
    *("agreement_signed", "agreement_ended", "quarantine_freed"),
}


# --- the log as an outsider has it

EXPORT = 'write the log\'s tiles with "firsthand audit export"'


def read_log(source: str) -> tuple[list[bytes], str]:
    """All entries and the checkpoint of a log of tiles, in a folder or at a URL; Damaged."""
    fetch = _fetcher(source)
    note = fetch("checkpoint").decode()
    try:
        size = int(note.split("\n")[1])
    except (IndexError, ValueError) as error:
        raise Damaged(f"{source}/checkpoint is no checkpoint") from error
    return list(tiles.entries_of(size, fetch)), note


def _fetcher(source: str) -> tiles.Fetch:
    def from_folder(path: str) -> bytes:
        try:
            return (Path(source) / path).read_bytes()
        except OSError as error:
            raise NotFound(
                f"{source} lacks {path}", 'write it with "firsthand audit export"'
            ) from error

    def from_url(path: str) -> bytes:
        try:
            with urllib.request.urlopen(f"{source.rstrip('/')}/{path}", timeout=30) as answer:
                return answer.read()
        except (OSError, ValueError) as error:
            raise Failed(f"{source}/{path} does not answer: {error}") from error

    return from_url if source.startswith(("http://", "https://")) else from_folder


def _key(text: str, claimed: str) -> VerifyKey:
    """The log's key as the auditor knows it, else as the file claims; WrongKey if they differ."""
    if text and text != claimed:
        raise WrongKey(f"this is by {claimed}, not by {text}")
    return VerifyKey.from_text(claimed)


def _root(entries: list[bytes]) -> bytes:
    frontier = tlog.Frontier()
    for entry in entries:
        frontier.append(tlog.leaf_hash(entry))
    return frontier.root()


def check_proof(given: dict[str, Any], key_text: str = "") -> dict[str, Any]:
    """What a proof shows: the entry, its place, its personal fields if opened. Damaged."""
    try:
        key = _key(key_text, given["key"])
        entry = b64decode(given["entry"], validate=True)
        proof = tiles.open_proof(given["proof"])
        checkpoint = tlog.open_checkpoint(proof.checkpoint, tlog.log_name(key), key)
        body = json.loads(entry)
    except (KeyError, TypeError, ValueError, NotBase64) as error:
        raise Damaged("this is no proof", 'make one with "firsthand audit prove"') from error
    leaf = tlog.leaf_hash(entry)
    tlog.verify_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    told: dict[str, Any] = {"index": proof.index, "kind": body["kind"], "time_ns": body["time_ns"]}
    told |= {"log": checkpoint.origin, "size": checkpoint.size, "entry": body}
    if given.get("opening"):
        told["personal"] = _open(body, proof.index, given["opening"])
    return told


def _open(body: dict[str, Any], index: int, opening: dict[str, str]) -> dict[str, Any]:
    """The personal fields of an entry; Damaged unless they are those that it is bound to."""
    try:
        said = opening["said"].encode()
        if body["v"] == 1:
            bound = hmac.digest(
                b64decode(opening["salt"], validate=True), index.to_bytes(8, "big") + said, "sha256"
            )
        else:
            bound = hmac.digest(b64decode(opening["key"], validate=True), said, "sha256")
        if not hmac.compare_digest(bound.hex(), body["commitment"]):
            raise Damaged(f"the opening of log entry {index} does not fit it")
        return json.loads(said)
    except (KeyError, TypeError, ValueError, AttributeError, NotBase64) as error:
        raise Damaged(f"the opening of log entry {index} cannot be read") from error


# --- a release


@dataclass
class Report:
    """What an audit found: how much was judged, and each breach in words."""

    release: str
    run: str
    log_index: int
    people: int = 0
    samples: int = 0
    footage_ns: int = 0
    entries_opened: int = 0
    erased: list[str] = field(default_factory=list)  # samples that nobody can judge any more
    breaches: list[str] = field(default_factory=list)


def audit_release(
    bundle: dict[str, Any], entries: list[bytes], note: str, key_text: str = ""
) -> dict[str, Any]:
    """Judges every sample of a release anew; {"holds": whether no breach was found, ...}.

    Of a person whose erasure the log shows since, nothing opens: such samples are named apart.

    Damaged or WrongKey if the log, the manifest or an opening is not what was signed.
    """
    try:
        envelope = bundle["manifest"]
        key = _key(key_text, envelope["key"])
        manifest = envelope["manifest"]
        key.verify(MANIFEST_CONTEXT, canonical(manifest), b64decode(envelope["signature"]))
        audit = _Audit(manifest, key, entries, note, bundle["openings"])
    except (KeyError, TypeError, ValueError, NotBase64) as error:
        raise Damaged(f"this is no proof bundle: {error!r} is missing or wrong") from error
    report = audit.run()
    return {"holds": not report.breaches} | vars(report)


class _Audit:
    def __init__(
        self,
        manifest: dict[str, Any],
        key: VerifyKey,
        entries: list[bytes],
        note: str,
        openings: dict[str, dict[str, str]],
    ) -> None:
        self.manifest = manifest
        self.at = manifest["log_index"]
        self._openings = openings
        origin = tlog.log_name(key)
        now = tlog.open_checkpoint(note, origin, key)
        then = tlog.open_checkpoint(manifest["checkpoint"], origin, key)
        if now.size != len(entries) or _root(entries) != now.root:
            raise Damaged("these entries are not those of the log's checkpoint")
        if then.size != self.at or self.at >= now.size or _root(entries[: self.at]) != then.root:
            raise Damaged("the release was not made from this log")
        self.bodies = [json.loads(entry) for entry in entries[: self.at + 1]]
        self.report = Report(manifest["release"], manifest["run"], self.at)
        made = self.bodies[self.at]
        said = hashlib.sha256(canonical(manifest)).hexdigest()
        if (made["kind"], made.get("manifest")) != ("release_made", said):
            raise Damaged(f"log entry {self.at} does not name this manifest")
        # The log's own time: a clock that was put back doesn't bring back what had ended.
        self.now_ns = max(body["time_ns"] for body in self.bodies)
        self.stored = {
            body["record"]: index
            for index, body in enumerate(self.bodies)
            if body["kind"] == "segment_stored"
        }
        told = [self.bodies[int(at)] for at in openings if int(at) <= self.at]
        self.shown = {body.get("subject") for body in told}  # of whom anything is opened
        self.erased = _erased_since(entries, self.at)
        self.proposal, self.proposed_ns = self._proposal()
        self.approved = self._approved()
        self.stopped = self._stopped()
        adopted = [
            (index, body)
            for index, body in enumerate(self.bodies)
            if body["kind"] == "text_adopted"
        ]
        # What wearers sign is a text of its own kind, and changes no consent.
        self.texts = [each for each in adopted if _kind_of(each[1]) == "consent"]
        self.agreements = [each for each in adopted if _kind_of(each[1]) == "agreement"]
        self._accounts: dict[str, _Account] = {}

    def run(self) -> Report:
        """Judges every sample of every person."""
        report = self.report
        for person in self.manifest["people"]:
            report.people += 1
            subjects = set()
            for shard in person["shards"]:
                for sample in shard["samples"]:
                    report.samples += 1
                    report.footage_ns += sample["stop_ns"] - sample["start_ns"]
                    name = f"{person['person']}/{sample['id']}"
                    gone = self._gone(sample)
                    if gone:
                        report.erased.append(f"{name}: {gone}")
                        continue
                    subject, why = self._judge(sample, bool(sample.get("sound", True)))
                    subjects.add(subject)
                    report.breaches += [f"{name}: {each}" for each in why]
            if len(subjects) > 1:
                report.breaches.append(f"{person['person']} is several people in the log")
        report.entries_opened = sum(account.opened for account in self._accounts.values())
        return report

    def _proposal(self) -> tuple[dict[str, Any], int]:
        run = self.manifest["run"]
        found = [
            body
            for body in self.bodies
            if body["kind"] == "run_proposed" and body.get("run") == run
        ]
        if len(found) != 1:
            raise Damaged(f"the log holds {len(found)} proposals of run {run}, not one")
        proposal = found[0]["proposal"]
        digest = hashlib.sha256(canonical(proposal)).hexdigest()
        if digest != self.manifest["proposal_sha256"]:
            self.report.breaches.append("the release names another proposal than the log")
        if set(self.manifest["permissions"]) != set(proposal["permissions"]):
            self.report.breaches.append("the release names other purposes than the proposal")
        return proposal, found[0]["time_ns"]

    def _approved(self) -> bool:
        """Whether the ethics approval that the proposal names holds, for each of its purposes."""
        named = self.proposal.get("ethics_approval", "").strip()
        holding: dict[str, Any] | None = None
        for body in self.bodies:
            if named and body.get("approval") == named:
                holding = body if body["kind"] == "approval_added" else None
        if holding is None or self.now_ns >= holding["expires_ns"]:
            return False
        purposes = self.proposal["permissions"]
        return all(any(_covers(code, each) for code in holding["scope"]) for each in purposes)

    def _gone(self, sample: dict[str, Any]) -> str:
        """By which entries its person was erased since, if nothing of theirs opens any more."""
        index = self.stored.get(sample["record"])
        subject = "" if index is None else self.bodies[index]["subject"]
        if subject in self.shown or subject not in self.erased:
            return ""
        return "its person was erased since, by entries {} and {} of the log".format(
            *self.erased[subject]
        )

    def _stopped(self) -> bool:
        """Whether the study of that approval stood still: only its own monitor lets it go on."""
        named = self.proposal.get("ethics_approval", "").strip()
        stopped, monitor = False, ""
        for index, body in enumerate(self.bodies):
            if not named or body.get("study") != named:
                continue
            if body["kind"] == "monitor_named" and not stopped:  # nor by naming another
                monitor = body["key"] if self.role_of(body["key"], index) == "monitor" else ""
            elif body["kind"] == "study_stopped":
                stopped = True
            elif body["kind"] == "study_resumed" and monitor and body["by"] == monitor:
                stopped = False
        return stopped

    def _judge(self, sample: dict[str, Any], sound: bool) -> tuple[str, list[str]]:
        """Whose sample it is in the log, and what is wrong with it."""
        start_ns, stop_ns = sample["start_ns"], sample["stop_ns"]
        index = self.stored.get(sample["record"])
        if index is None:
            return "", ["no entry of the log says that its record was stored"]
        body = self.bodies[index]
        subject = body["subject"]
        account = self._account(subject)
        if account.cannot:
            return subject, [account.cannot]
        why = []
        try:
            kept = self.opening(index)
        except NotFound as error:
            return subject, [error.message]
        by_ns, came, came_ns = account.moved(kept.get("session", ""), index, body["time_ns"])
        if not kept["start_ns"] <= start_ns - by_ns < stop_ns - by_ns <= kept["stop_ns"]:
            why.append("it reaches out of its segment")
        why += account.refuses(self)
        why += account.closed(start_ns, stop_ns)
        why += account.unsigned(self, start_ns, stop_ns)
        if account.erases(kept["segment"]):
            why.append("its segment was to be erased")
        why += account.in_review(start_ns, stop_ns, came, came_ns, self.now_ns)
        why += account.unlawful(self.laws(), start_ns, stop_ns, sound)
        if not set(sample["consents"]) <= account.consents.keys():
            why.append("it rests on a consent that its person never gave")
        return subject, why

    def laws(self) -> list[dict[str, Any]]:
        """The rows of recording law in the log, the latest last."""
        return [body["law"] for body in self.bodies if body["kind"] == "law_added"]

    def role_of(self, key: str, index: int) -> str:
        """The role of an access key when an entry was written; empty if it opened nothing."""
        role = ""
        for body in self.bodies[:index]:
            if body.get("key") == key and body["kind"] in ("access_given", "access_revoked"):
                role = body.get("role", "")
        return role

    def opening(self, index: int) -> dict[str, Any]:
        """The personal fields of an entry; NotFound if the bundle does not open it."""
        given = self._openings.get(str(index))
        if given is None:
            raise NotFound(f"log entry {index} is not opened by the bundle")
        return _open(self.bodies[index], index, given)

    def _account(self, subject: str) -> "_Account":
        if subject not in self._accounts:
            account = self._accounts[subject] = _Account(self.bodies, self.agreements)
            for index, body in enumerate(self.bodies[: self.at]):
                if body.get("subject") != subject:
                    continue
                kind = body["kind"]
                account.hear_of_death(kind)
                opened = kind == "person_added" and str(index) in self._openings
                if not opened and (kind in SILENT or kind.endswith("_stored")):
                    continue
                if kind == "ballot_cast" and body.get("run") != self.manifest["run"]:
                    continue
                if kind not in TELLING and not opened:
                    account.cannot = f"log entry {index} is of a kind unknown here: {kind}"
                    break
                try:
                    said = self.opening(index)
                except NotFound as error:
                    account.cannot = error.message
                    break
                account.opened += 1
                account.take(index, body, said)
        return self._accounts[subject]


def _erased_since(entries: list[bytes], at: int) -> dict[str, tuple[int, int]]:
    """Who was erased as a whole after entry `at`: by which order, and where it was carried out."""
    ordered: dict[str, tuple[int, str]] = {}
    found = {}
    for index in range(at + 1, len(entries)):
        if b'"erasure_' not in entries[index]:
            continue
        body = json.loads(entries[index])
        order = body.get("order", "")
        if body["kind"] == "erasure_ordered" and order:
            ordered[order] = index, body["subject"]
        elif body["kind"] == "erasure_undone":
            ordered.pop(order, None)
        elif (body["kind"], body.get("scope")) == ("erasure_done", "person") and order in ordered:
            before, subject = ordered[order]
            found[subject] = before, index
    return found


@dataclass
class _Account:
    """What one person said, entry by entry up to the release."""

    bodies: list[dict[str, Any]]  # of the log, for what an entry points at
    texts: list[tuple[int, dict[str, Any]]]  # agreements, by the entry that adopted them
    opened: int = 0
    cannot: str = ""  # why nothing of theirs can be judged
    consents: dict[str, dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    ballot: tuple[str, str] | None = None  # choice, hash of the proposal
    withheld: dict[str, tuple[int, int]] = field(default_factory=dict)
    holds: dict[str, tuple[int, int]] = field(default_factory=dict)
    erasures: dict[str, dict[str, Any]] = field(default_factory=dict)
    gone: bool = False
    attested: int = 0  # how many say that they died; each attestor has one entry
    place: str = ""
    window_days: int = REVIEW_DAYS
    reviewed: list[tuple[int, frozenset[str]]] = field(default_factory=list)  # index, days
    zones: dict[str, dict[str, Any]] = field(default_factory=dict)
    permits: dict[str, dict[str, Any]] = field(default_factory=dict)
    # What was recorded without the time, by session: entry, its time, by how much it was moved.
    moves: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    signed: dict[str, dict[str, Any]] = field(default_factory=dict)
    freed: list[tuple[int, str, int, int]] = field(default_factory=list)  # index, key, interval

    def hear_of_death(self, kind: str) -> None:
        """Counts the attestations of a death; who attested need not be shown."""
        if kind == "death_attested":
            self.attested += 1
        elif kind == "death_denied":
            self.attested = 0

    def take(self, index: int, body: dict[str, Any], said: dict[str, Any]) -> None:
        """One more entry of theirs, in the log's order."""
        kind = body["kind"]
        if kind == "consent_given":
            from_ns = max(body["time_ns"], said.get("begins_ns", 0))
            more = {"from_ns": from_ns, "withdrawn": False, "index": index}
            self.consents[said["id"]] = said | more
        elif kind == "person_withdrawn":
            self.gone = True
        elif kind in ("consent_withdrawn", "consent_expired"):
            self.consents[said["consent"]]["withdrawn"] = True
        elif kind == "rule_set":
            self.rules[said["permission"]] = said["choice"]
        elif kind == "ballot_cast":
            self.ballot = (said["choice"], said["proposal_sha256"])
        elif kind == "withheld":
            self.withheld[said["withhold"]] = (said["start_ns"], said["stop_ns"])
        elif kind == "withhold_lifted":
            self.withheld.pop(said["withhold"], None)
        elif kind == "bystander_hold":
            self.holds[said["hold"]] = (said["start_ns"], said["stop_ns"])
        elif kind == "bystander_decided" and said["decision"] == "keep":
            self.holds.pop(said["hold"], None)
        elif kind == "erasure_ordered":
            self.erasures[said["id"]] = said
        elif kind == "erasure_undone":
            self.erasures.pop(body.get("order", ""), None)
        elif kind in ("jurisdiction_set", "person_added"):
            self.place = said["jurisdiction"]
        elif kind == "review_window_set":
            self.window_days = said["days"]
        elif kind == "days_reviewed":
            self.reviewed.append((index, frozenset(said["days"])))
        elif kind == "zone_said":
            self.zones[said["zone"]] = dict(said)
        elif kind == "zone_ended":
            self._end(self.zones, said["zone"], said["stop_ns"])
        elif kind == "work_permitted":
            self.permits[said["permit"]] = dict(said)
        elif kind == "permit_revoked":
            self._end(self.permits, said["permit"], said["stop_ns"])
        elif kind == "session_placed":
            move = (index, body["time_ns"], said["by_ns"])
            self.moves.setdefault(said["session"], []).append(move)
        elif kind == "agreement_signed" and self._fits(index, body, said):
            # What is signed reaches no further back than the entry that says so.
            start_ns = max(said["start_ns"], body["time_ns"])
            self.signed[said["agreement"]] = said | {"start_ns": start_ns, "index": index}
        elif kind == "agreement_ended":
            self._end(self.signed, said["agreement"], said["stop_ns"])
        elif kind == "quarantine_freed" and self._agreed(body["time_ns"], index):
            stop_ns = min(said["stop_ns"], body["time_ns"])
            self.freed.append((index, said["key"], said["start_ns"], stop_ns))

    def moved(self, session: str, index: int, stored_ns: int) -> tuple[int, int, int]:
        """How far what entry `index` stored was moved since, by which entry at last, and when."""
        since = [each for each in self.moves.get(session, ()) if each[0] > index]
        by_ns = sum(each[2] for each in since)
        return (by_ns, *since[-1][:2]) if since else (0, index, stored_ns)

    def _orders(self, scope: str) -> list[dict[str, Any]]:
        return [order for order in self.erasures.values() if order["scope"] == scope]

    def erases(self, segment: str) -> bool:
        """Whether an order names this segment."""
        return any(segment in order.get("segments", ()) for order in self._orders("segments"))

    @staticmethod
    def _end(held: dict[str, dict[str, Any]], name: str, stop_ns: int) -> None:
        if name in held:
            held[name]["stop_ns"] = min(held[name]["stop_ns"], stop_ns)

    # --- what stands against a sample

    def refuses(self, audit: _Audit) -> Iterator[str]:
        """Why this person did not allow the run."""
        proposal, manifest, now_ns = audit.proposal, audit.manifest, audit.now_ns
        if self.gone or self._orders("person"):
            yield "its person has left, or is to be erased"
        if self.attested >= ATTESTED:
            yield "its person's death was attested"
        if now_ns >= audit.proposed_ns + proposal["retention_days"] * DAY_NS:
            yield "the time that the run was to last is over"
        if audit.stopped:
            yield "its study stood still"
        purposes = proposal["permissions"]
        if self.ballot is not None:
            answer = self.ballot[0] if self.ballot[1] == manifest["proposal_sha256"] else "silence"
        else:
            answer = "yes"
            for purpose in purposes:
                if self.rules.get(purpose, "ask") != "yes":
                    answer = "no yes"
        if answer != "yes":
            yield f"its person's answer to the run is {answer}"
        if not purposes:
            yield "the run names no purpose"
        earns = bool(proposal.get("commercial")) or "fh:commercial" in purposes
        wanted = {*purposes, "fh:commercial"} if earns else set(purposes)
        living = [each for each in self.consents.values() if _lives(each, now_ns)]
        fitting = [
            each
            for each in living
            if all(_met(code, proposal, earns, audit.approved) for code in each["modifiers"])
        ]
        for purpose in sorted(wanted):
            if not any(
                any(_covers(code, purpose) for code in each["permissions"])
                and not any(_ends(text, at, each, purpose, now_ns) for at, text in audit.texts)
                for each in fitting
            ):
                yield f"no consent holds for {purpose}"

    def closed(self, start_ns: int, stop_ns: int) -> Iterator[str]:
        """What was kept back of an interval."""
        bounded = [each for each in self.erasures.values() if each.get("start_ns") is not None]
        erased = [(each["start_ns"], each["stop_ns"]) for each in bounded]
        for words, intervals in (
            ("withheld", self.withheld.values()),
            ("held for a bystander", self.holds.values()),
            ("to be erased", erased),
        ):
            if any(begin < stop_ns and end > start_ns for begin, end in intervals):
                yield f"it touches what is {words}"

    def _fits(self, index: int, body: dict[str, Any], said: dict[str, Any]) -> bool:
        """Whether a signature is under the very words then in force, for no longer than they allow,
        and rests on what they ask: entries of this person before it."""
        texts = [text for at, text in self.texts if at < index]
        if not texts:
            return False
        words, data = texts[-1]["words"], texts[-1]["data"]
        longest_ns = data.get("most_days", 365) * DAY_NS
        if said["text_sha256"] != hashlib.sha256(words.encode()).hexdigest():
            return False
        if said["stop_ns"] - max(said["start_ns"], body["time_ns"]) > longest_ns:
            return False
        asked = {"attested": data.get("attested"), "quiz": data.get("questions")}
        kinds = {"attested": "attested", "quiz": "quiz_taken"}
        for name in (name for name in asked if asked[name] and self.place != "sim"):
            rests = said.get(name)
            if type(rests) is not int or not 0 <= rests < index:
                return False
            found = self.bodies[rests]
            if (found["kind"], found.get("subject")) != (kinds[name], body["subject"]):
                return False
        return True

    def _periods(self, known: int | None = None) -> Iterator[tuple[int, int]]:
        """When agreements were in force: a newer text may have ended one earlier.

        With `known`, by the texts before that entry alone: what one frees stays free.
        """
        for each in self.signed.values():
            ends = [
                text["from_ns"]
                for at, text in self.texts
                if each["index"] < at < (known or at + 1) and text["older"] == "end"
            ]
            yield each["start_ns"], min([each["stop_ns"], *ends])

    def _agreed(self, at_ns: int, index: int) -> bool:
        return any(begin <= at_ns < end for begin, end in self._periods(index))

    def unsigned(self, audit: _Audit, start_ns: int, stop_ns: int) -> Iterator[str]:
        """Whether any of it was recorded without an agreement, and no reviewer freed it."""
        texts = audit.agreements
        if not texts or self.place == "sim":
            return
        at_ns = max(start_ns, min(text["from_ns"] for _, text in texts))
        open_to = [
            (begin, end)
            for index, key, begin, end in self.freed
            if audit.role_of(key, index) == "reviewer"
        ]
        for begin, end in sorted([*open_to, *self._periods()]):
            if begin <= at_ns < end:
                at_ns = end
        if at_ns < stop_ns:
            yield "it was recorded while no agreement was in force, and no reviewer freed it"

    def in_review(
        self, start_ns: int, stop_ns: int, index: int, came_ns: int, now_ns: int
    ) -> Iterator[str]:
        """Whether its wearer had time left to keep it back: a window after its days and arrival."""
        for day in range(start_ns // DAY_NS, (stop_ns - 1) // DAY_NS + 1):
            name = datetime.fromtimestamp(day * DAY_NS // 10**9, UTC).date().isoformat()
            if any(at > index and name in days for at, days in self.reviewed):
                continue
            if now_ns < max((day + 1) * DAY_NS, came_ns) + self.window_days * DAY_NS:
                yield "its review window is still open"
                return

    def unlawful(
        self, laws: list[dict[str, Any]], start_ns: int, stop_ns: int, sound: bool
    ) -> Iterator[str]:
        """What recording law or a place forbids within an interval."""
        edges = {start_ns, stop_ns - 1}
        days = range(start_ns // DAY_NS + 1, stop_ns // DAY_NS + 1)
        edges |= {day * DAY_NS for day in days if start_ns <= day * DAY_NS < stop_ns}
        here: list[tuple[int, int, dict[str, Any]]] = []
        for zone in self.zones.values():
            here += [(*stay, zone) for stay in _stays(zone, start_ns, stop_ns)]
        moments = {at for begin, end, _ in here for at in (begin, end)}
        moments |= {
            at for each in self.permits.values() for at in (each["start_ns"], each["stop_ns"])
        }
        edges |= {at for at in moments if start_ns <= at < stop_ns}
        for at_ns in sorted(edges):
            at = [zone for begin, end, zone in here if begin <= at_ns < end]
            pictures, heard = self._lawful(laws, at, at_ns)
            if not pictures:
                yield "no picture may be taken there"
                return
            if sound and not heard:
                yield "no current and reviewed law allows its sound"
                return

    def _lawful(
        self, laws: list[dict[str, Any]], at: list[dict[str, Any]], at_ns: int
    ) -> tuple[bool, bool]:
        pictures = heard = True
        day = datetime.fromtimestamp(at_ns // 10**9, UTC).date().isoformat()
        for place in {self.place, *(zone.get("jurisdiction", "") for zone in at)} - {""} or {""}:
            rows = [row for row in laws if row["jurisdiction"] == place and row["as_of"] <= day]
            row = max(reversed(rows), key=lambda each: each["as_of"], default=None)
            if row is None:
                heard = False
                continue
            pictures &= row.get("video", "yes") == "yes"
            banned = row.get("closed_places", "").split()
            pictures &= not any(zone["kind"] in banned for zone in at)
            reviewed = row["reviewer"] not in ("", "unreviewed") and bool(row["source"])
            heard &= row["audio"] in ("one", "yes") and day < row["expires"] and reviewed
        for zone in at:
            given = [
                each
                for each in self.permits.values()
                if each["label"] == zone["label"] and each["start_ns"] <= at_ns < each["stop_ns"]
            ]
            pictures &= bool(zone["video"]) and (bool(given) or not zone["permission"])
            audible = any(each["audio"] for each in given)
            heard &= bool(zone["audio"]) and (audible or not zone["permission"])
        return pictures, heard and pictures


def _lives(consent: dict[str, Any], now_ns: int) -> bool:
    """Whether a consent is given, unexpired and unwithdrawn, by the log's time."""
    return consent["from_ns"] <= now_ns < consent["expires_ns"] and not consent["withdrawn"]


def _parts(code: str) -> tuple[str, set[str]]:
    name, _, values = code.partition("=")
    return name, set(values.split(",")) - {""}


def _kind_of(text: dict[str, Any]) -> str:
    return text["data"].get("kind", "consent")


def _covers(permission: str, purpose: str) -> bool:
    """Whether a permission is the purpose's own, or one that it stands under."""
    given, limits = _parts(permission)
    wanted, values = _parts(purpose)
    if given == wanted:
        return permission == purpose or (bool(values) and values <= limits)
    while wanted in ABOVE:
        wanted = ABOVE[wanted]
        if wanted == given and not limits:
            return True
    return False


def _ends(
    text: dict[str, Any], index: int, consent: dict[str, Any], purpose: str, now_ns: int
) -> bool:
    """Whether a text that was adopted after a consent took this purpose out of it."""
    if consent["index"] > index or now_ns < text["from_ns"] or text["older"] == "keep":
        return False
    dropped = text["dropped"]
    return text["older"] == "end" or any(
        _covers(each, purpose) or _covers(purpose, each) for each in dropped
    )


def _met(code: str, proposal: dict[str, Any], earns: bool, approved: bool) -> bool:
    """Whether a run keeps to a condition; one that is not known here is never kept."""
    name, values = _parts(code)
    offers = [_parts(each) for each in proposal.get("offers", ())]
    offered = {value for offer, found in offers for value in found if offer == name}
    promised = any(offer == name for offer, _ in offers)
    purposes = {_parts(each)[0] for each in proposal["permissions"]}
    match name:
        case "DUO:0000046":
            return not earns
        case "DUO:0000018":
            selfless = {"DUO:0000045", "DUO:0000018"}
            return not earns and any(offer in selfless for offer, _ in offers)
        case "DUO:0000021":
            return approved
        case "DUO:0000025":
            length_ns = proposal["retention_days"] * DAY_NS
            return length_ns > 0 and (
                not values or length_ns <= min(int(value) for value in values) * MONTH_NS
            )
        case "DUO:0000015":
            return "fh:train-general-model" not in purposes
        case "DUO:0000044":
            return not purposes & {"DUO:0000011", "DUO:0000042", "DUO:0000004"}
        case "DUO:0000016" | "DUO:0000019" | "DUO:0000020" | "DUO:0000029" | "DUO:0000045":
            return promised
        case "DUO:0000012" | "DUO:0000022" | "DUO:0000026" | "DUO:0000027" | "DUO:0000028":
            return bool(offered) and offered <= values
        case "DUO:0000024":
            return bool(offered) and bool(values) and min(offered) >= max(values)
        case "fh:streams":
            streams = set(proposal.get("streams", ())) or {"video", "motion", "sound", "events"}
            return streams <= values
    return False


def _stays(zone: dict[str, Any], start_ns: int, stop_ns: int) -> Iterator[tuple[int, int]]:
    """When a person was at a place that touches an interval, with its border."""
    for begin, end in _planned(zone, start_ns, stop_ns):
        begin, end = max(begin, zone["start_ns"]), min(end, zone["stop_ns"])
        if begin < end and begin - BORDER_NS < stop_ns and end + BORDER_NS > start_ns:
            yield begin - BORDER_NS, end + BORDER_NS


def _planned(zone: dict[str, Any], start_ns: int, stop_ns: int) -> Iterator[tuple[int, int]]:
    names = zone.get("days", "").split()
    if not names:
        yield zone["start_ns"], zone["stop_ns"]
        return
    try:
        where = ZoneInfo(zone["tz"])
    except (KeyError, OSError, ValueError):
        yield zone["start_ns"], zone["stop_ns"]
        return
    first = datetime.fromtimestamp(start_ns // 10**9, UTC) - timedelta(3)
    for ahead in range((stop_ns - start_ns) // DAY_NS + 6):
        day = first + timedelta(ahead)
        if ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[day.weekday()] in names:
            midnight = datetime(day.year, day.month, day.day, tzinfo=where)
            length = zone["to_min"] + (1440 if zone["to_min"] <= zone["from_min"] else 0)
            begin = midnight + timedelta(minutes=zone["from_min"])
            end = midnight + timedelta(minutes=length)
            yield int(begin.timestamp()) * 10**9, int(end.timestamp()) * 10**9
