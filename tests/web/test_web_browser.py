"""The pages in a real browser: they work by keyboard, play footage, and break no policy."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from firsthand import log
from firsthand.consent.runs import answers
from firsthand.web.report import render_report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
SIZES = {"wide": (1180, 900, "light"), "phone": (390, 844, "dark")}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser, home) -> Iterator:
    """A page that holds the cookie, and fails its test on any error in the console."""
    context = browser.new_context(viewport={"width": 1180, "height": 900})
    context.set_default_timeout(15_000)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    opened.goto(home.server.page_url)
    yield opened
    context.close()
    assert complaints == []


def until(page, expression: str) -> None:
    """Waits until it is true; the driver's own way needs eval, which our policy forbids."""
    for _ in range(300):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


def day(home, at: str) -> str:
    return f"{home.server.url}/people/{home.ana.id}/days/2026-11-01?at={at}"


@pytest.mark.parametrize("size", SIZES)
def test_every_page_fits_its_screen(home, browser, tmp_path: Path, size):
    width, height, scheme = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    shown = context.new_page()
    shown.goto(home.server.page_url)
    report = home.vault.settings.data / "report.html"
    report.write_text(render_report({}, {}, []))
    paths = {
        "overview": "/",
        "person": f"/people/{home.ana.id}",
        "consent": f"/people/{home.ana.id}/consent",
        "devices": f"/people/{home.ana.id}/devices",
        "views": "/views",
        "seen": "/seen",
        "day": f"/people/{home.ana.id}/days/2026-11-01?at=08:03:20",
        "gap": f"/people/{home.ana.id}/days/2026-11-01?at=08:06",
        "runs": "/runs",
        "run": f"/runs/{home.run.id}",
        "report": "/report",
    }
    for name, path in paths.items():
        shown.goto(home.server.url + path)
        shown.screenshot(path=tmp_path / f"{name}-{size}.png", full_page=True)
        wide = shown.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, name
    report.unlink()
    context.close()


def test_the_minute_plays_from_the_time_in_the_address_and_is_logged_once(home, page):
    page.goto(day(home, "08:03:20"))
    until(page, "document.querySelector('video').readyState >= 2")
    state = page.evaluate("(v => [v.duration, v.currentTime])(document.querySelector('video'))")
    assert state == [60, 20]
    assert page.evaluate("document.querySelector('video').videoWidth") == 160
    page.evaluate("document.querySelector('video').play()")
    until(page, "document.querySelector('video').currentTime > 20.2")
    found = next(s for s in home.footage() if s.record["seq"] == 3)
    with home.vault.db.read() as connection:
        seen = [e.private for e in log.read(connection, home.ana.id) if e.kind == "read"]
    assert sum(each["segment"] == found.id and each["part"] == "video" for each in seen) == 1


def test_the_stills_on_the_strip_are_pictures(home, page):
    page.goto(day(home, "08:00"))
    first = "[...document.querySelectorAll('.film img')].slice(0, 4)"
    until(page, f"{first}.every(i => i.naturalWidth === 160)")


def test_a_label_seeks_within_the_minute_and_arrows_turn_it(home, page):
    page.goto(day(home, "08:03:00"))
    until(page, "document.querySelector('video').readyState >= 2")
    page.click("text=wash cup")
    until(page, "Math.abs(document.querySelector('video').currentTime - 20) < 0.2")
    assert page.url.endswith("?at=08:03:20")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**?at=08:04:00")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**?at=08:03:00")


def test_answering_a_run_works_by_keyboard(home, page):
    page.goto(f"{home.server.url}/runs/{home.run.id}")
    page.focus("[aria-label='bo answers yes']")
    page.keyboard.press("Enter")
    page.wait_for_selector("[aria-label='bo answers yes'][aria-pressed='true']")
    with home.vault.db.read() as connection:
        assert answers.answer(connection, home.run, home.bo.id) == "yes"


def test_two_taps_keep_minutes_back_and_a_third_undoes_it(home, page):
    page.goto(day(home, "08:03:10"))
    page.wait_for_selector("video")
    page.click("text=From this minute on")
    page.click(".film a:has-text('08:04')")
    page.click("text=Keep this back")
    page.wait_for_selector("text=Kept back: 08:03:00 to 08:05:00")
    for at in ("08:03:10", "08:04:10"):
        page.goto(day(home, at))
        page.wait_for_selector("text=It stays sealed")
        assert page.query_selector("video") is None
    page.go_back()
    page.go_back()
    page.click("text=Undo")
    page.wait_for_selector("video")


def test_the_day_works_without_scripts(home, browser):
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(home.server.page_url)
    plain.goto(day(home, "08:01"))
    plain.click("#after")
    assert plain.url.endswith("?at=08:02:00")
    context.close()
