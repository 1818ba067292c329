"""The one decision, as properties: nothing but a full, living yes permits anything."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand.consent.decide import Facts, decide
from firsthand.consent.terms.consents import Consent
from firsthand.consent.terms.vocabulary import MODIFIERS, PERMISSIONS, STREAMS, Use, split

NOW = 1000
TRAIN, VIEW, EARN = "fh:train-general-model", "fh:human-view", "fh:commercial"
NON_COMMERCIAL, ETHICS, TIME_LIMIT = "DUO:0000046", "DUO:0000021", "DUO:0000025"
UNKNOWN = "DUO:0000099"
# Every modifier there is, with values such as people give, and some that no one can meet.
NARROW = [
    *("DUO:0000012=epilepsy", "DUO:0000015", "DUO:0000016", "DUO:0000018", "DUO:0000019"),
    *("DUO:0000020", "DUO:0000021", "DUO:0000022=BE,NL", "DUO:0000022=NL", "DUO:0000022"),
    *("DUO:0000024=2027-01-01", "DUO:0000024=soon", "DUO:0000025", "DUO:0000025=6"),
    *("DUO:0000025=0", "DUO:0000026=dr-b", "DUO:0000027=gait", "DUO:0000028=uni-a"),
    *("DUO:0000029", "DUO:0000044", "DUO:0000045", "DUO:0000046", "DUO:0000046=x"),
    *("fh:streams=motion", "fh:streams=video,motion", UNKNOWN, "", "=", "fh:streams"),
]

permissions = st.frozensets(st.sampled_from([TRAIN, VIEW, EARN]), max_size=3)
modifiers = st.lists(
    st.sampled_from([NON_COMMERCIAL, ETHICS, TIME_LIMIT, UNKNOWN]), unique=True, max_size=2
)


@st.composite
def consents(draw: st.DrawFn) -> Consent:
    return Consent(
        id=f"c-{draw(st.integers(0, 999))}",
        person="p",
        text_version="1",
        text_sha256="",
        permissions=tuple(draw(permissions)),
        modifiers=tuple(draw(modifiers)),
        given_ns=draw(st.sampled_from([1, NOW - 1, NOW, NOW, NOW + 1])),
        expires_ns=draw(st.sampled_from([NOW - 1, NOW, NOW + 1, 10**6, 10**6])),
        withdrawn_ns=draw(st.sampled_from([None, None, None, 500, 5000])),
        log_index=0,
    )


uses = st.builds(
    Use,
    permissions,
    commercial=st.booleans(),
    ethics_approval=st.sampled_from(["", " ", "approval 7"]),
    ends_ns=st.sampled_from([0, 10**6, 10**17]),
    offers=st.frozensets(
        st.sampled_from(
            [
                *("DUO:0000022=NL", "DUO:0000022=BE,NL", "DUO:0000022=US", "DUO:0000019"),
                *("DUO:0000024=2027-06-01", "DUO:0000045", "DUO:0000026=dr-b", "DUO:0000016"),
            ]
        )
    ),
    streams=st.sampled_from([frozenset(STREAMS), frozenset({"motion"})]),
)
facts = st.builds(
    Facts,
    status=st.sampled_from(["active", "active", "active", "withdrawn", "erased"]),
    consents=st.lists(consents(), max_size=4).map(tuple),
    answer=st.sampled_from(["yes", "yes", "self", "no", "silent", "", "YES"]),
    erased=st.sampled_from([False, False, False, True]),
)
quick = settings(max_examples=40, deadline=None)


def test_every_modifier_there_is_was_tried():
    assert {split(code)[0] for code in NARROW} >= set(MODIFIERS)


def allowed(use: Use, known: Facts) -> bool:
    return decide(use, known, NOW).allowed


def living(consent: Consent) -> bool:
    return consent.given_ns <= NOW < consent.expires_ns and consent.withdrawn_ns is None


def met(code: str, use: Use) -> bool:
    """The conditions, said a second time."""
    earns = use.commercial or EARN in use.permissions
    known = {NON_COMMERCIAL: not earns, ETHICS: use.ethics_approval.strip() != ""}
    known[TIME_LIMIT] = use.ends_ns != 0
    return known.get(code, False)


def model(use: Use, known: Facts) -> bool:
    """The design's sentence, said a second time, as sets."""
    good = [c for c in known.consents if living(c) and all(met(m, use) for m in c.modifiers)]
    given = set().union(*(c.permissions for c in good))
    wanted = set(use.permissions) | ({EARN} if use.commercial else set())
    takes_part = known.status == "active" and not known.erased
    return (
        takes_part
        and known.answer in ("yes", "self")
        and {*use.permissions} != set()
        and (wanted <= given)
    )


@settings(max_examples=150, deadline=None)
@given(uses, facts)
def test_the_decision_is_the_sentence_of_the_design(use, known):
    assert allowed(use, known) == model(use, known)


def test_a_full_yes_is_a_yes_so_that_the_properties_below_say_something():
    consent = Consent("c1", "p", "1", "", (TRAIN, EARN), (ETHICS, TIME_LIMIT), 1, 10**6, None, 0)
    use = Use(frozenset({TRAIN}), True, "approval 7", 10**6)
    decision = decide(use, Facts("active", (consent,), "yes"), NOW)
    assert (decision.allowed, decision.consents) == (True, ("c1",))
    strict = replace(consent, modifiers=(ETHICS, TIME_LIMIT, UNKNOWN))
    assert not decide(use, Facts("active", (strict,), "yes"), NOW).allowed


@settings(max_examples=100, deadline=None)
@given(uses, facts, st.data())
def test_adding_a_modifier_never_permits_more(use, known, data):
    if known.consents:
        at = data.draw(st.integers(0, len(known.consents) - 1))
        code = data.draw(st.sampled_from(NARROW))
        changed = list(known.consents)
        changed[at] = replace(changed[at], modifiers=(*changed[at].modifiers, code))
        assert allowed(use, replace(known, consents=tuple(changed))) <= allowed(use, known)


@quick
@given(uses, facts, st.data())
def test_removing_a_consent_or_a_permission_never_permits_more(use, known, data):
    if known.consents:
        at = data.draw(st.integers(0, len(known.consents) - 1))
        fewer = known.consents[:at] + known.consents[at + 1 :]
        assert allowed(use, replace(known, consents=fewer)) <= allowed(use, known)
        less = replace(known.consents[at], permissions=known.consents[at].permissions[1:])
        changed = (*known.consents[:at], less, *known.consents[at + 1 :])
        assert allowed(use, replace(known, consents=changed)) <= allowed(use, known)


@quick
@given(uses, facts, st.sampled_from(sorted(PERMISSIONS)))
def test_asking_for_more_purposes_never_permits_more(use, known, code):
    if use.permissions:
        wider = replace(use, permissions=use.permissions | {code})
        assert allowed(wider, known) <= allowed(use, known)


@quick
@given(uses, facts)
def test_earning_money_never_permits_more(use, known):
    assert allowed(replace(use, commercial=True), known) <= allowed(
        replace(use, commercial=False), known
    )


@quick
@given(uses, facts, st.sampled_from(["no", "silent", "", "YES", "maybe"]))
def test_silence_and_anything_but_yes_is_no(use, known, answer):
    assert not allowed(use, replace(known, answer=answer))


@quick
@given(uses, facts)
def test_a_withdrawn_expired_or_future_consent_permits_nothing(use, known):
    for change in ({"withdrawn_ns": 1}, {"expires_ns": NOW}, {"given_ns": NOW + 1}):
        dead = tuple(replace(consent, **change) for consent in known.consents)
        assert not allowed(use, replace(known, consents=dead))


@quick
@given(uses, facts)
def test_who_has_left_or_was_erased_permits_nothing(use, known):
    assert not allowed(use, replace(known, status="withdrawn"))
    assert not allowed(use, replace(known, status="erased"))
    assert not allowed(use, replace(known, erased=True))


@quick
@given(uses, facts)
def test_an_unknown_modifier_is_not_met(use, known):
    strict = tuple(replace(c, modifiers=(*c.modifiers, UNKNOWN)) for c in known.consents)
    assert not allowed(use, replace(known, consents=strict))


@quick
@given(uses, facts)
def test_a_yes_names_consents_that_live_and_cover_and_a_no_says_why(use, known):
    decision = decide(use, known, NOW)
    named = [consent for consent in known.consents if consent.id in decision.consents]
    if decision.allowed:
        good = [c for c in named if living(c) and all(met(m, use) for m in c.modifiers)]
        assert use.permissions <= set().union(*(c.permissions for c in good))
    else:
        assert decision.consents == ()
    assert all(decision.reasons)
    assert decision.reasons


def test_a_use_that_calls_itself_unpaid_but_names_the_commercial_purpose_is_commercial():
    unpaid = Consent("c1", "p", "1", "", (TRAIN,), (NON_COMMERCIAL,), 1, 10**6, None, 0)
    paid = Consent("c2", "p", "1", "", (EARN,), (), 1, 10**6, None, 0)
    known = Facts("active", (unpaid, paid), "yes")
    assert allowed(Use(frozenset({TRAIN})), known)
    assert not allowed(Use(frozenset({TRAIN}), commercial=True), known)
    assert not allowed(Use(frozenset({TRAIN, EARN}), commercial=False), known)


def test_one_consents_permission_does_not_lend_itself_to_anothers_condition():
    # Training only with ethics approval, viewing freely: viewing does not free training.
    strict = Consent("c1", "p", "1", "", (TRAIN,), (ETHICS,), 1, 10**6, None, 0)
    free = Consent("c2", "p", "1", "", (VIEW,), (), 1, 10**6, None, 0)
    known = Facts("active", (strict, free), "yes")
    assert allowed(Use(frozenset({VIEW})), known)
    assert not allowed(Use(frozenset({VIEW, TRAIN})), known)
    assert not allowed(Use(frozenset({VIEW, TRAIN}), ethics_approval=" "), known)
    assert allowed(Use(frozenset({VIEW, TRAIN}), ethics_approval="approval 7"), known)


def test_a_consent_ends_at_its_end_to_the_nanosecond():
    consent = Consent("c1", "p", "1", "", (TRAIN,), (), 10, 20, None, 0)
    known = Facts("active", (consent,), "yes")
    held = [now for now in range(5, 25) if decide(Use(frozenset({TRAIN})), known, now).allowed]
    assert held == list(range(10, 20))
