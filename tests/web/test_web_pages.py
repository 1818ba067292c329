"""The pages as HTML: what they show, and that each button does what its command does."""

import re
from html.parser import HTMLParser

import pytest
from rig import MINUTE_NS, START_NS, FakeDevice

from firsthand.consent import people, seen
from firsthand.consent.capture import review, withhold
from firsthand.consent.estate import directive
from firsthand.consent.money import ledger
from firsthand.consent.runs import answers
from firsthand.consent.terms import consents
from firsthand.vault import ingest, reading
from firsthand.web.history import history

VOID = {"meta", "link", "input", "br", "img", "hr"}


class Strict(HTMLParser):
    """Fails on tags that do not close in order, and gathers ids and inline script or style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.inline: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        self.ids += [names["id"]] if "id" in names else []
        self.inline += [name for name in names if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in names):
            self.inline.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def last_of(home, person) -> str:
    with home.vault.db.read() as connection:
        return str(seen.last(connection, person.id))


def paths(home) -> list[str]:
    ana = f"/people/{home.ana.id}"
    day = f"{ana}/days/2026-11-01"
    return [
        "/",
        "/runs",
        f"/runs/{home.run.id}",
        "/report",
        ana,
        f"{ana}/devices",
        f"/people/{home.bo.id}",
        f"/people/{home.bo.id}/consent",
        day,
        f"{day}?at=08:06",
        f"{day}?at=08:10",
        f"{day}?at=23:59:59",
        f"{ana}/days/1999-01-01",
    ]


def test_every_page_is_well_formed_with_unique_ids_and_nothing_inline(home):
    for path in paths(home):
        answer = home.get(path)
        assert answer.status == 200, path
        page = Strict(answer.text)
        assert len(page.ids) == len(set(page.ids)), path
        assert page.inline == [], path


def test_the_overview_shows_each_wearer_their_footage_and_the_log(home):
    text = home.get("/").text
    assert "ana" in text
    assert "17 min" in text
    assert "nothing has arrived yet" in text
    assert "last seen 2 Nov 2026, 09:16" in text
    assert f"firsthand/{home.vault.origin.split('/')[1]}" in text


def test_the_day_tells_the_kinds_of_gap_apart(home):
    day = f"/people/{home.ana.id}/days/2026-11-01"
    assert "failed: camera lost" in home.get(f"{day}?at=08:06").text
    assert "Kept back" in home.get(f"{day}?at=08:10").text
    assert "deleted, 08:12:00 to 08:13:00" in home.get(f"{day}?at=08:12:30").text
    assert "not recorded: asleep" in home.get(f"{day}?at=08:19").text
    assert "no device said why" in home.get(f"{day}?at=08:40").text


def test_the_address_is_the_time(home):
    text = home.get(f"/people/{home.ana.id}/days/2026-11-01?at=08:03:20").text
    assert "/video#t=20.00" in text
    assert 'href="?at=08:02:00" rel="prev"' in text
    assert 'href="?at=08:04:00" rel="next"' in text
    assert "08:03:20</time> wash cup" in text


def test_face_boxes_are_no_labels(home):
    assert "1,2,3,4" not in home.get(f"/people/{home.ana.id}/days/2026-11-01").text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/people/p-nobody", 404),
        ("/people/{ana}/days/yesterday", 404),
        ("/people/{ana}/days/2026-11-01?at=noon", 400),
        ("/people/{ana}?log_before=x", 400),
        ("/runs/r-none", 404),
        ("/nowhere", 404),
        ("/report/file", 404),
    ],
)
def test_a_wrong_address_gets_a_plain_page(home, path, status):
    answer = home.get(path.format(ana=home.ana.id))
    assert answer.status == status
    assert answer.headers["content-type"].startswith("text/html")
    Strict(answer.text)


def test_names_are_escaped(home):
    person = home.vault.add_person("<script>alert(1)</script>")
    for path in ("/", f"/people/{person.id}", f"/runs/{home.run.id}"):
        assert "<script>alert" not in home.get(path).text


def test_yes_and_no_on_the_run_page_are_ballots(home):
    page = f"/runs/{home.run.id}"
    for choice in ("no", "yes"):
        form = {"person": home.bo.id, "choice": choice, "seen": last_of(home, home.bo)}
        answer = home.post(f"{page}/answer", form)
        assert (answer.status, answer.headers["location"]) == (303, f"{page}#answers")
        with home.vault.db.read() as connection:
            assert answers.answer(connection, home.run, home.bo.id) == choice
    assert "no consent to fh:emulate-self" in home.get(page).text
    assert home.post(f"{page}/answer", {"person": home.bo.id, "choice": "maybe"}).status == 400


def test_an_interval_is_withheld_and_lifted_on_the_page(home):
    page = f"/people/{home.ana.id}"
    form = {"start": "2026-11-02T09:10:00", "stop": "2026-11-02T09:11"}
    assert home.post(f"{page}/withhold", form).status == 303
    with home.vault.db.read() as connection:
        kept = withhold.of(connection, home.ana.id)[-1]
    assert kept.stop_ns - kept.start_ns == MINUTE_NS
    assert "09:11:00" in home.get(page).text
    assert home.post(f"{page}/withhold/{kept.id}/lift", {}).status == 303
    with home.vault.db.read() as connection:
        assert kept.id not in [each.id for each in withhold.of(connection, home.ana.id)]
    backwards = {"start": form["stop"], "stop": form["start"]}
    assert home.post(f"{page}/withhold", backwards).status == 400
    assert home.post(f"{page}/withhold", {"start": "soon", "stop": "later"}).status == 400


def test_a_consent_is_withdrawn_and_a_rule_set_on_the_page(home):
    with home.vault.db.write() as connection:
        given = consents.give(connection, home.bo, ["publish-clips"])
    page = f"/people/{home.bo.id}"
    assert home.post(f"{page}/consents/{given.id}/withdraw", {}).status == 303
    rule = {"permission": "fh:publish-clips", "choice": "yes", "seen": last_of(home, home.bo)}
    assert home.post(f"{page}/rules", rule).status == 303
    with home.vault.db.read() as connection:
        assert consents.of(connection, home.bo.id)[-1].withdrawn_ns
    text = home.get(page).text
    assert "withdrawn" in text
    assert re.search(r'aria-label="publish excerpts: yes" aria-pressed="true"', text)
    assert home.post(f"{page}/consents/c-none/withdraw", {}).status == 404


def test_a_large_or_unreadable_form_is_refused(home):
    page = f"/people/{home.ana.id}/rules"
    assert home.post(page, {"a": "b" * 70_000}).status == 413
    assert home.post(page, {str(number): "" for number in range(200)}).status == 400


def test_the_history_pages_through_everything_once(home):
    person = home.vault.add_person("cem")
    with home.vault.db.write() as connection:
        for number in range(25):
            people.note(connection, "withheld", person, number + 1, private={"start_ns": None})
    seen: list[int] = []
    before = None
    with home.vault.db.read() as connection:
        while True:
            lines, before = history(connection, person.id, before, count=10)
            seen += [line.index for line in lines]
            if before is None:
                break
    assert len(seen) == 26
    assert seen == sorted(seen, reverse=True)


def test_readings_in_a_row_are_one_line_that_says_what_was_opened(home):
    person = f"/people/{home.ana.id}"
    opened = home.footage()[-3:]
    for segment in opened:
        home.get(f"{person}/segments/{segment.id}/still")
    reading.read_part(home.vault, opened[0].id, "video", "keeper", "a test")
    with home.vault.db.read() as connection:
        lines, _ = history(connection, home.ana.id)
    assert lines[0].text.startswith(
        "the vault's keeper (a test) opened 1 video, recorded 2 Nov 2026"
    )
    assert "3 stills" in lines[1].text
    assert lines[1].last - lines[1].index >= 2


def test_the_report_is_shown_in_a_frame_that_may_do_nothing(home):
    assert "There is no report" in home.get("/report").text
    file = home.vault.settings.data / "report.html"
    file.write_text("<!doctype html><p>figures</p>")
    try:
        assert "<iframe" in home.get("/report").text
        shown = home.get("/report/file")
        assert "figures" in shown.text
        assert "sandbox" in shown.headers["content-security-policy"]
        assert "frame-ancestors 'self'" in shown.headers["content-security-policy"]
    finally:
        file.unlink()


def test_a_day_without_any_footage_says_so(home):
    text = home.get(f"/people/{home.ana.id}/days/1999-01-01").text
    assert "Nothing to show" in text
    assert "No footage begins in this hour" in text


def test_the_page_of_a_day_says_what_is_still_on_the_card_and_asks_for_it_first(home):
    device = FakeDevice(home.vault, home.bo, "bos")
    content, _ = device.segment(START_NS + 4 * MINUTE_NS, {"video": b"v" * 3000})
    with home.vault.db.read() as connection:
        enrolled = people.find_device(connection, device.id)
    ingest.open_upload(home.vault, enrolled, content["envelope"], content["headers"])
    path = f"/people/{home.bo.id}/days/2026-11-01"
    assert f'href="{path}"' in home.get(f"/people/{home.bo.id}").text  # nothing of it is home yet
    shown = home.get(f"{path}?at=08:04:30").text
    assert "on the card, not home yet, 08:04:00 to 08:05:00" in shown
    assert "Bring this home first" in shown
    form = {"start": "08:04", "stop": "08:05"}
    assert home.post(f"{path}/want", form).status == 303
    shown = home.get(path).text
    assert "08:04:00 to 08:05:00 comes first" in shown
    (drop,) = re.findall(r'name="drop" value="([^"]+)"', shown)
    assert home.post(f"{path}/want", {"drop": drop}).status == 303
    assert "comes first." not in home.get(path).text
    assert home.post(f"{path}/want", {"start": "08:05", "stop": "08:04"}).status == 400


def test_the_page_of_a_day_lists_its_gaps_with_their_reasons(home):
    shown = home.get(f"/people/{home.ana.id}/days/2026-11-01").text
    assert re.search(r"\d without footage, and why", shown)
    listed = shown[shown.index("without footage") :]
    listed = listed[: listed.index("</ol>")]
    assert "withheld by the wearer" in listed
    begins = re.findall(r"<time>([\d:]+)</time>", listed)
    assert begins == sorted(begins)


def test_what_was_earned_and_what_is_to_be_after_death_stand_on_the_persons_page(home):
    person, path = home.ana, f"/people/{home.ana.id}"
    with home.vault.db.write() as connection:
        ledger.credit_hours(connection, person, "2026-11-01", 5400, home.vault.now_ns())
        ledger.credit_bonus(connection, "r-1", person, 250, home.vault.now_ns())
    text = home.get(path).text
    assert "1.500 shares and 2.50 in money, of which 0.00 is paid" in text
    assert "wearing on 2026-11-01" in text
    assert "You have not said anything, so nobody may run your model." in text
    form = {"run": "bea, cem", "stop": "", "delete": "dana", "years": "3"}
    assert home.post(f"{path}/directive", form).status == 303
    text = home.get(path).text
    assert "bea, cem may run your model." in text
    assert "Nobody may stop it for good." in text
    assert "destroyed 3 years after" in text
    assert "said what is to be after their death" in text
    for wrong in ({"years": "soon"}, {"years": "101"}, {"run": person.name, "years": "3"}):
        assert home.post(f"{path}/directive", wrong).status == 400
    with home.vault.db.read() as connection:
        assert directive.of(connection, person.id).may["delete"] == ("dana",)


def test_a_look_at_a_day_ends_the_review_of_what_the_page_had_shown_alone(home):
    now_ns = home.vault.now_ns()
    with home.vault.db.write() as connection:
        day = review.of(connection, home.ana.id)[0].day
        review.arrive(connection, home.ana.id, day, now_ns)
    page = home.get(f"/people/{home.ana.id}").text
    form = {"day": day, "arrived": str(now_ns)}
    assert f'name="arrived" value="{now_ns}"' in page
    with home.vault.db.write() as connection:
        review.arrive(connection, home.ana.id, day, now_ns + 1)
    for stale in (form, {"day": day}):
        assert home.post(f"/people/{home.ana.id}/reviewed", stale).status == 409
    form["arrived"] = str(now_ns + 1)
    assert home.post(f"/people/{home.ana.id}/reviewed", form).status == 303
    with home.vault.db.read() as connection:
        open_days = review.open_days(connection, home.ana.id, home.vault.now_ns())
    assert day not in {each.day for each in open_days}


def test_a_review_window_that_was_set_stands_in_the_persons_log(home):
    with home.vault.db.write() as connection:
        review.set_window(connection, home.ana, 3, home.vault.now_ns())
    answer = home.get(f"/people/{home.ana.id}")
    assert answer.status == 200
    assert "review window set to 3 days" in answer.text
