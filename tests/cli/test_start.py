"""The command line's frame: what help imports, and how calls and failures end."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from firsthand import __version__, errors
from firsthand.cli import invocation, main
from firsthand.cli.failure import guard
from firsthand.cli.nouns import EXITS, NOUNS, exits

HEAVY = {"torch", "numpy", "sqlalchemy", "av", "fastapi", "uvicorn", "obstore", "pyarrow", "rich"}


def run(*arguments: str, **extra: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "firsthand", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **extra)  # type: ignore[call-overload,no-any-return]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from firsthand.cli import main; code = main(['--help']);"
        "print(code, *{name.partition('.')[0] for name in sys.modules})"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    code_and_modules = told.stdout.splitlines()[-1].split()
    assert code_and_modules[0] == "0"
    assert not HEAVY & set(code_and_modules[1:])


def test_help_lists_the_nouns_whose_files_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    folder = Path(sys.modules["firsthand.cli"].__file__ or "").parent
    for name, line in NOUNS.items():
        assert (f"  {name} " in shown and line[:30] in shown) == (folder / f"{name}.py").exists()


def test_module_and_script_are_the_same_program() -> None:
    told = run("--version")
    assert told.stdout == f"firsthand {__version__}\n"
    assert told.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["nothing"], "no such command 'nothing'", 'see "firsthand --help"'),
        (["plan", "shw"], "no such command 'shw'", 'see "firsthand plan --help"'),
        (["plan", "show", "--peopl"], "no such option: --peopl", "firsthand plan show --help"),
        (["plan", "show", "--people", "many"], "--people 'many' is no number", "1e6"),
        (["plan", "show", "--hours-per-day", "25"], "hours_per_day cannot be 25", "at most 24"),
        (["plan", "show", "more"], "unexpected extra argument", "firsthand plan show --help"),
    ],
)
def test_wrong_call_gives_an_error_a_hint_and_exit_2(
    arguments: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    first, second = shown.err.splitlines()
    assert first.startswith("firsthand: error: ")
    assert message in first
    assert second.startswith("firsthand: hint: ")
    assert hint in second


@pytest.mark.parametrize("arguments", [[], ["plan"]])
def test_noun_without_verb_shows_its_help_and_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("Usage: firsthand")


FAMILY = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.Error)
]


@pytest.mark.parametrize("kind", FAMILY)
def test_each_error_ends_with_its_own_code(
    kind: type[errors.Error], capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise kind("segment 7 failed its hash", "run it again")

    assert guard(work) == kind.exit_code
    assert kind.exit_code in EXITS
    assert capsys.readouterr().err == (
        "firsthand: error: segment 7 failed its hash\nfirsthand: hint: run it again\n"
    )


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (typer.Exit(3), 3, ""),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/card/1"), 1, "no space left"),
        (OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)), 1, "choose another port"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/gone"), 1, "/gone"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, "broken pipe"),
        (TimeoutError("timed out"), 1, "timed out"),
        (ModuleNotFoundError("no", name="torch.nn"), 1, 'pip install "firsthand[learn]"'),
    ],
)
def test_failure_from_outside_is_told_without_a_traceback(
    failure: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise failure

    assert guard(work) == code
    assert words in capsys.readouterr().err


def test_bug_keeps_its_traceback() -> None:
    def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        guard(work)


def test_reader_that_leaves_early_is_no_news() -> None:
    script = f"{sys.executable} -m firsthand plan show | true; exit ${{PIPESTATUS[0]}}"
    told = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert told.stderr == ""
    assert told.returncode in (0, 1)  # 0: everything fitted into the pipe before it closed


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_under_stdout_is_a_failure() -> None:
    with open("/dev/full", "w") as full:
        told = subprocess.run(
            [sys.executable, "-m", "firsthand", "plan", "show"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert told.returncode == 1
    assert told.stderr.startswith("firsthand: error: no space left on device\n")
    assert "Traceback" not in told.stderr


def test_data_before_the_noun_is_what_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIRSTHAND_DATA", str(tmp_path / "by-environment"))
    assert main(["--data", str(tmp_path / "by-flag"), "plan", "show", "--json"]) == 0
    assert invocation.settings().data == tmp_path / "by-flag"
    assert invocation.settings(port=9000).port == 9000
    assert main(["plan", "show", "--json"]) == 0
    assert invocation.settings().data == tmp_path / "by-environment"


def test_exits_names_what_every_command_can_meet() -> None:
    assert exits(10) == "Exit codes: 0 done, 1 failed, 2 usage, 10 not found, 130 interrupted."
    with pytest.raises(KeyError):
        exits(99)


def test_json_is_one_value_on_stdout_and_nothing_else() -> None:
    told = run("plan", "show", "--json")
    assert told.stderr == ""
    assert json.loads(told.stdout)["lines"]["total_dollars"]["value"] == 1_366_500
