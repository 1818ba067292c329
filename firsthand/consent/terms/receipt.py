"""Consent records and receipts: ISO/IEC TS 27560 fields in terms of the W3C DPV, as JSON-LD.

The record is drawn from the log: what was given, refused, confirmed anew and withdrawn, when and
how. The receipt is the record in the vault's signed envelope, for the person to keep.
"""

import json
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import people
from firsthand.consent.terms import consents, text
from firsthand.consent.terms.vocabulary import CODES, split, words
from firsthand.crypto import SigningKey, VerifyKey
from firsthand.segment import sign_body, verify_body

CONTEXT = "firsthand/consent-receipt/v1"
PROFILE = "https://w3id.org/dpv/schema/iso-27560"
_STATUS = {
    "consent_given": "dpv:ConsentGiven",
    "consent_withdrawn": "dpv:ConsentWithdrawn",
    "consent_expired": "dpv:ConsentExpired",
}


def record(
    connection: Connection, person: people.Person, consent: str, origin: str, now_ns: int
) -> dict[str, Any]:
    """The TS 27560 record of one consent; NotFound."""
    found = consents.find(connection, person, consent)
    words_ = text.find(connection, found.text_version)
    context = files("firsthand.consent.terms") / "data" / "consent-27560.jsonld"
    return {
        "@context": json.loads(context.read_text(encoding="utf-8")),
        "@type": "dpv:ConsentRecord",
        "dct:conformsTo": PROFILE,
        "dct:identifier": found.id,
        "dct:created": _when(found.given_ns),
        "dct:valid": _when(found.expires_ns),
        "dpv:hasDataSubject": {"@type": "dpv:DataSubject", "dct:identifier": person.id},
        "dpv:hasJurisdiction": person.jurisdiction or "not stated",
        "dpv:hasDataController": words_.data.get("controller", {"dct:identifier": origin}),
        "dpv:hasNotice": {
            "@type": "dpv:ConsentNotice",
            "dct:hasVersion": found.text_version,
            "dct:language": words_.data.get("language", "en"),
            "dct:title": words_.data.get("title", ""),
            "dct:identifier": f"sha256:{found.text_sha256}",
        },
        "dpv:hasProcess": {
            "@type": "dpv:Process",
            "dpv:hasLegalBasis": "dpv:ExplicitlyExpressedConsent",
            "dpv:hasPurpose": [_purpose(code) for code in found.permissions],
            "odrl:constraint": [_condition(code) for code in found.modifiers],
            "dpv:hasPersonalData": ["video", "sound", "motion", "events"],
            "dpv:hasRecipient": "named in each run, which is put to the person",
            "dpv:hasStorageCondition": "sealed until its keys are destroyed; see each run",
        },
        "dpv:hasConsentControl": {
            "@type": "dpv:WithdrawConsent",
            "dct:description": f"firsthand consent withdraw {person.name} {found.id}",
        },
        "dpv:hasConsentStatus": events(connection, person, found, now_ns),
        "log": {"origin": origin, "index": found.log_index, "size": log.size(connection)},
    }


def events(
    connection: Connection, person: people.Person, consent: consents.Consent, now_ns: int
) -> list[dict[str, Any]]:
    """What happened to a consent, in the order of the log."""
    listed = []
    for entry in log.read(connection, person.id, start=consent.log_index):
        private = entry.private or {}
        named = private.get("id" if entry.kind == "consent_given" else "consent")
        if entry.kind in _STATUS and named == consent.id:
            status = "dpv:RenewedConsentGiven" if "confirms" in private else _STATUS[entry.kind]
            event = _event(status, entry.time_ns, entry.index)
            if entry.kind == "consent_given":
                event["dpv:hasIndicationMethod"] = private.get("method", "command")
                event["dpv:hasDuration"] = {"dct:valid": _when(consent.expires_ns)}
            if "confirmed_as" in private:
                event["dct:isReplacedBy"] = private["confirmed_as"]
            listed.append(event)
    if consent.withdrawn_ns is None and now_ns >= consent.expires_ns:
        listed.append(_event("dpv:ConsentExpired", consent.expires_ns, None))
    return listed


def refusals(connection: Connection, person: people.Person) -> list[dict[str, Any]]:
    """Each purpose that a person said no to when they were asked, in the order of the log."""
    listed = []
    for entry in log.read(connection, person.id):
        if entry.kind == "consent_refused" and entry.private:
            purposes = [_purpose(code) for code in entry.private["permissions"]]
            event = _event("dpv:ConsentRefused", entry.time_ns, entry.index)
            listed.append(event | {"dpv:hasPurpose": purposes})
    return listed


def sign(body: dict[str, Any], key: SigningKey) -> dict[str, Any]:
    """The receipt: the record, its signature, and the public half of the key."""
    return sign_body("receipt", body, key, CONTEXT) | {"key": str(key.public)}


def verify(receipt: Any, key: VerifyKey) -> dict[str, Any]:
    """The record in a receipt; Damaged unless this key signed exactly this."""
    return verify_body("receipt", receipt, key, CONTEXT)


def _purpose(code: str) -> dict[str, Any]:
    return {"@id": _iri(code), "dct:title": words(code)}


def _condition(code: str) -> dict[str, Any]:
    name, values = split(code)
    condition: dict[str, Any] = {"@id": _iri(code), "dct:title": words(code)}
    if values:
        operator = "odrl:lteq" if CODES[name].rule == "months" else "odrl:isAnyOf"
        operator = "odrl:gteq" if CODES[name].rule == "from" else operator
        condition |= {"odrl:operator": operator, "odrl:rightOperand": sorted(values)}
    return condition


def _iri(code: str) -> str:
    return split(code)[0].replace("DUO:", "duo:")


def _event(status: str, time_ns: int, index: int | None) -> dict[str, Any]:
    event: dict[str, Any] = {"@type": status, "dpv:isIndicatedAtTime": _when(time_ns)}
    event["dpv:isIndicatedBy"] = "dpv:DataSubject"
    return event if index is None else event | {"log_index": index}


def _when(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).isoformat().replace("+00:00", "Z")
