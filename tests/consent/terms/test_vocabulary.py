"""Codes as data: what a permission contains, and when each condition is met."""

import pytest

from firsthand.consent.terms.vocabulary import (
    CODES,
    MODIFIERS,
    PERMISSIONS,
    RESEARCH,
    Use,
    check_modifiers,
    check_offers,
    check_permissions,
    covers,
    is_met,
    words,
)
from firsthand.errors import Usage

DAY_NS = 86_400 * 10**9
TRAIN = "fh:train-general-model"
ANY, GENERAL, HEALTH, DISEASE = "DUO:0000004", "DUO:0000042", "DUO:0000006", "DUO:0000007"
ANCESTRY, CARE = "DUO:0000011", "DUO:0000043"


def use(*purposes: str, **more: object) -> Use:
    return Use(frozenset(purposes or (TRAIN,)), **more)  # type: ignore[arg-type]


def test_all_25_codes_of_duo_are_there_and_each_has_a_place():
    duo = {name for name in CODES if name.startswith("DUO:")}
    assert len(duo) == 25
    assert duo == {*RESEARCH, "DUO:0000001", "DUO:0000017"} | {
        name for name in MODIFIERS if name.startswith("DUO:")
    }
    for code in CODES.values():
        assert code.label
        assert code.parent in ("", *CODES)
        assert (code.kind == "modifier") == bool(code.rule)


@pytest.mark.parametrize(
    ("given", "wanted", "contained"),
    [
        (ANY, GENERAL, True),
        (ANY, CARE, True),
        (GENERAL, HEALTH, True),
        (GENERAL, ANCESTRY, True),
        (GENERAL, f"{DISEASE}=MONDO:5", True),
        (HEALTH, f"{DISEASE}=MONDO:5", True),
        (HEALTH, ANCESTRY, False),
        (HEALTH, GENERAL, False),
        (GENERAL, ANY, False),
        (GENERAL, CARE, False),
        (f"{DISEASE}=MONDO:5", HEALTH, False),
        (f"{DISEASE}=MONDO:5", f"{DISEASE}=MONDO:5", True),
        (f"{DISEASE}=MONDO:4,MONDO:5", f"{DISEASE}=MONDO:5", True),
        (f"{DISEASE}=MONDO:5", f"{DISEASE}=MONDO:4,MONDO:5", False),
        (f"{DISEASE}=MONDO:5", DISEASE, False),
        ("fh:emulate-by-others", "fh:emulate-self", True),
        ("fh:emulate-self", "fh:emulate-by-others", False),
        (ANY, TRAIN, False),  # DUO has no word for it, so none of its codes allows it
        (TRAIN, "fh:train-person-model", False),
        ("fh:unheard-of", "fh:unheard-of", False),
        ("DUO:0000046", "DUO:0000046", False),
    ],
)
def test_a_permission_contains_what_stands_below_it_and_nothing_else(given, wanted, contained):
    assert covers(given, wanted) is contained


def test_containing_is_an_order():
    every = [f"{name}=x" if CODES[name].value else name for name in {**PERMISSIONS, **RESEARCH}]
    for one in every:
        assert covers(one, one)
        for other in every:
            assert not (one != other and covers(one, other) and covers(other, one))
            for third in every:
                if covers(one, other) and covers(other, third):
                    assert covers(one, third)


@pytest.mark.parametrize(
    ("modifier", "meets", "fails"),
    [
        ("DUO:0000012=gait", {"offers": {"DUO:0000012=gait"}}, {"offers": {"DUO:0000012=sleep"}}),
        ("DUO:0000016", {"offers": {"DUO:0000016"}}, {}),
        ("DUO:0000018", {"offers": {"DUO:0000045"}}, {"offers": {"DUO:0000045"}, "commercial": 1}),
        ("DUO:0000019", {"offers": {"DUO:0000019"}}, {"offers": {"DUO:0000020"}}),
        ("DUO:0000020", {"offers": {"DUO:0000020"}}, {}),
        ("DUO:0000021", {"ethics_approval": "IRB-7"}, {"ethics_approval": " "}),
        ("DUO:0000022=BE,NL", {"offers": {"DUO:0000022=NL"}}, {"offers": {"DUO:0000022=NL,US"}}),
        ("DUO:0000022=NL", {"offers": {"DUO:0000022=NL"}}, {}),
        ("DUO:0000024=2027-01-31", {"offers": {"DUO:0000024=2027-02-01"}}, {}),
        ("DUO:0000024=2027-01-31", {"offers": {"DUO:0000024=2027-01-31"}}, {"offers": {"DUO:x"}}),
        ("DUO:0000025", {"ends_ns": 5}, {"ends_ns": 0}),
        ("DUO:0000025=2", {"ends_ns": 60 * DAY_NS}, {"ends_ns": 60 * DAY_NS + 1}),
        ("DUO:0000026=dr-b", {"offers": {"DUO:0000026=dr-b"}}, {"offers": {"DUO:0000026=dr-c"}}),
        ("DUO:0000027=gait", {"offers": {"DUO:0000027=gait"}}, {}),
        ("DUO:0000028=uni-a", {"offers": {"DUO:0000028=uni-a"}}, {}),
        ("DUO:0000029", {"offers": {"DUO:0000029"}}, {}),
        ("DUO:0000045", {"offers": {"DUO:0000045"}}, {}),
        ("DUO:0000046", {}, {"commercial": True}),
        ("fh:streams=motion,events", {"streams": {"motion"}}, {"streams": {"motion", "video"}}),
    ],
)
def test_each_condition_is_met_by_what_it_asks_for_and_by_nothing_less(modifier, meets, fails):
    assert is_met(modifier, use(**meets))
    assert not is_met(modifier, use(**fails))


def test_prohibitions_look_at_the_purposes_and_at_all_that_contains_them():
    assert is_met("DUO:0000044", use(HEALTH))
    for wide in (ANCESTRY, GENERAL, ANY):
        assert not is_met("DUO:0000044", use(HEALTH, wide))
    assert is_met("DUO:0000015", use("fh:human-view"))
    assert not is_met("DUO:0000015", use(TRAIN))


def test_an_offer_of_two_places_has_to_lie_in_both():
    offers = {"offers": {"DUO:0000022=NL", "DUO:0000022=US"}}
    assert not is_met("DUO:0000022=NL", use(**offers))
    assert is_met("DUO:0000022=NL,US", use(**offers))


@pytest.mark.parametrize(
    "odd", ["DUO:0000099", "", "=", "DUO:0000042", "DUO:0000022", "DUO:0000022=", "DUO:0000025=-1"]
)
def test_what_is_unknown_or_incomplete_is_never_met(odd):
    assert not is_met(odd, use(offers={"DUO:0000022=NL"}, ends_ns=1, ethics_approval="IRB-7"))


def test_codes_can_be_written_short_and_are_kept_in_full():
    assert check_permissions(["GRU", "human-view"]) == [GENERAL, "fh:human-view"]
    assert check_modifiers(["GS=NL, BE", "NCU"]) == ["DUO:0000022=BE,NL", "DUO:0000046"]
    assert words("DUO:0000022=BE,NL") == "use within the named places only (BE, NL)"


@pytest.mark.parametrize("codes", [["DS"], ["all"], ["*"], [], ["GRU=1"], ["NCU"], ["class"]])
def test_no_word_says_everything_and_each_purpose_is_a_choice_of_its_own(codes):
    with pytest.raises(Usage):
        check_permissions(codes)


@pytest.mark.parametrize("code", ["GS", "TS=0", "TS=1,2", "MOR=soon", "NCU=1", "streams=smell"])
def test_a_modifier_without_its_value_is_refused(code):
    with pytest.raises(Usage):
        check_modifiers([code])


def test_a_run_offers_what_it_can_bind_itself_to():
    assert check_offers(["GS=NL", "PUB"]) == ["DUO:0000019", "DUO:0000022=NL"]
    for code in ("NCU", "IRB", "TS=6", "streams=motion", "NPOA"):
        with pytest.raises(Usage):
            check_offers([code])
