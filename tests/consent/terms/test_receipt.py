"""The consent record: ISO/IEC TS 27560 fields in DPV terms, drawn from the log, and signed."""

import json

import pytest

from firsthand.consent.terms import consents, receipt, text
from firsthand.crypto import SigningKey
from firsthand.errors import Damaged, NotFound

DAY_NS = 86_400 * 10**9
VIEW, TRAIN = "fh:human-view", "fh:train-general-model"


def statuses(record):
    return [event["@type"] for event in record["dpv:hasConsentStatus"]]


def test_a_record_says_who_allowed_what_in_which_words_until_when(connection, ana, now_ns):
    given = consents.give(
        connection, ana, [VIEW, "DS=MONDO:1"], ["GS=NL", "TS=6"], now_ns=now_ns, method="page"
    )
    record = receipt.record(connection, ana, given.id, "vault.example", now_ns)
    assert record["@type"] == "dpv:ConsentRecord"
    assert record["dct:conformsTo"] == receipt.PROFILE
    assert record["dpv:hasDataSubject"]["dct:identifier"] == ana.id
    assert record["dpv:hasNotice"]["dct:identifier"] == f"sha256:{text.read_text().sha256}"
    process = record["dpv:hasProcess"]
    assert [each["@id"] for each in process["dpv:hasPurpose"]] == ["duo:0000007", VIEW]
    conditions = [(c["@id"], c["odrl:operator"]) for c in process["odrl:constraint"]]
    assert conditions == [("duo:0000022", "odrl:isAnyOf"), ("duo:0000025", "odrl:lteq")]
    (event,) = record["dpv:hasConsentStatus"]
    assert (event["@type"], event["dpv:hasIndicationMethod"]) == ("dpv:ConsentGiven", "page")
    assert event["dpv:isIndicatedAtTime"] == "2026-11-01T08:00:00Z"
    assert event["log_index"] == given.log_index
    assert json.loads(json.dumps(record)) == record


def test_every_prefix_in_a_record_is_in_its_context(connection, ana, now_ns):
    given = consents.give(connection, ana, [VIEW, "HMB"], ["GS=NL"], now_ns=now_ns)
    consents.withdraw(connection, ana, given.id, now_ns)
    record = receipt.record(connection, ana, given.id, "vault.example", now_ns)
    names: set[str] = set()

    def walk(value):
        if isinstance(value, dict):
            names.update(key.split(":")[0] for key in value if ":" in key)
            names.update(
                value[k].split(":")[0] for k in ("@type", "@id") if ":" in value.get(k, "")
            )
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk({key: value for key, value in record.items() if key != "@context"})
    assert names == {"dct", "dpv", "duo", "fh", "odrl"}
    assert names <= record["@context"].keys()


def test_the_events_tell_the_life_of_a_consent_in_the_order_of_the_log(connection, ana, now_ns):
    old = consents.give(connection, ana, [VIEW], now_ns=now_ns)
    new = consents.confirm(connection, ana, old.id, now_ns + DAY_NS)
    consents.withdraw(connection, ana, new.id, now_ns + 2 * DAY_NS)
    first, second = (
        receipt.record(connection, ana, each.id, "o", now_ns + 3 * DAY_NS) for each in (old, new)
    )
    assert statuses(first) == ["dpv:ConsentGiven", "dpv:ConsentWithdrawn"]
    assert first["dpv:hasConsentStatus"][1]["dct:isReplacedBy"] == new.id
    assert statuses(second) == ["dpv:RenewedConsentGiven", "dpv:ConsentWithdrawn"]
    times = [event["dpv:isIndicatedAtTime"] for event in second["dpv:hasConsentStatus"]]
    assert times == ["2026-11-02T08:00:00Z", "2026-11-03T08:00:00Z"]


@pytest.mark.parametrize("noted", [False, True])
def test_a_consent_that_ran_out_says_so(connection, ana, now_ns, noted):
    given = consents.give(connection, ana, [VIEW], now_ns=now_ns, expires_ns=now_ns + DAY_NS)
    if noted:
        consents.close_expired(connection, now_ns + DAY_NS)
    record = receipt.record(connection, ana, given.id, "o", now_ns + DAY_NS)
    assert statuses(record) == ["dpv:ConsentGiven", "dpv:ConsentExpired"]


def test_each_choice_is_a_consent_of_its_own_and_each_no_is_on_record(connection, ana, now_ns):
    choices = {VIEW: True, TRAIN: True, "publish-clips": False}
    given = consents.choose(connection, ana, choices, ["NCU"], now_ns=now_ns)
    assert [each.permissions for each in given] == [(VIEW,), (TRAIN,)]
    assert all(each.modifiers == ("DUO:0000046",) for each in given)
    consents.withdraw(connection, ana, given[0].id)
    assert consents.find(connection, ana, given[1].id).withdrawn_ns is None
    (refused,) = receipt.refusals(connection, ana)
    assert refused["@type"] == "dpv:ConsentRefused"
    assert [each["@id"] for each in refused["dpv:hasPurpose"]] == ["fh:publish-clips"]


def test_a_receipt_changed_anywhere_or_signed_by_another_is_none(connection, ana, now_ns):
    given = consents.give(connection, ana, [VIEW], now_ns=now_ns)
    record = receipt.record(connection, ana, given.id, "o", now_ns)
    key = SigningKey.generate()
    signed = receipt.sign(record, key)
    assert receipt.verify(json.loads(json.dumps(signed)), key.public) == record
    for name in record:
        changed = {"receipt": record | {name: "other"}, "signature": signed["signature"]}
        with pytest.raises(Damaged):
            receipt.verify(changed, key.public)
    with pytest.raises(Damaged):
        receipt.verify(signed, SigningKey.generate().public)


def test_there_is_a_record_of_ones_own_consents_only(connection, ana, ben, now_ns):
    given = consents.give(connection, ana, [VIEW], now_ns=now_ns)
    with pytest.raises(NotFound):
        receipt.record(connection, ben, given.id, "o", now_ns)
