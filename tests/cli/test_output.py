"""What commands print, and where."""

import json

import pytest

from firsthand.cli.output import event, progress, show_json, table


def test_table_shows_brackets_and_never_cuts_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    table(["what", "value"], [["a [bold] word " * 20, "123,456,789"], [None, 0]], right="value")
    shown = capsys.readouterr()
    assert "[bold]" in shown.out
    assert "123,456,789" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 120
    assert shown.err == ""


def test_json_keeps_letters_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"name": "Zoë"})
    shown = capsys.readouterr().out
    assert "Zoë" in shown
    assert json.loads(shown) == {"name": "Zoë"}


def test_event_is_one_line_of_fields_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    event("upload_done", person="p12", note="two\nlines")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == 'upload_done person=p12 note="two\\nlines"\n'


def test_progress_without_a_terminal_tells_only_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress("record", total=2) as move:
        move(1)
        assert capsys.readouterr().err == ""
        move(2)
    shown = capsys.readouterr()
    assert shown.err.startswith("step_done step=record seconds=")
    assert shown.out == ""


def test_progress_that_fails_is_not_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError), progress("record"):
        raise ValueError
    assert "step_done" not in capsys.readouterr().err


def test_progress_on_a_terminal_draws_a_bar_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress("learn [1]") as move:
        move(1, total=4)
        move(3)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "learn [1]" in shown.err
    assert "100%" in shown.err
