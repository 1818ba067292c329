"""What a command shows: results on stdout, events and progress on stderr.

rich is imported only where a table or a bar is drawn, so that help and --json stay quick.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Where nobody looks (a pipe, a file), tables are this wide unless COLUMNS says otherwise.
PIPE_COLUMNS = 120


def say(text: str = "") -> None:
    """Prints one line of the result, at once: a server's first lines may be read through a pipe."""
    print(text, flush=True)


def show_json(value: Any) -> None:
    """Prints the result as one JSON value."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def event(name: str, **details: object) -> None:
    """Prints an event to stderr: a name and fields. Never footage, keys or places."""
    words = [f"{key}={_word(str(value))}" for key, value in details.items()]
    print(" ".join([name, *words]), file=sys.stderr)


def _word(value: str) -> str:
    plain = re.fullmatch(r"[^\s\"\\=]+", value)
    return value if plain and value.isprintable() else json.dumps(value, ensure_ascii=False)


def table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "", right: str = ""
) -> None:
    """Prints rows under columns; `right` names one column, or several split by spaces, to align
    right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        numeric = column == right or column in right.split()
        # Numbers are never cut or wrapped; words give way.
        grid.add_column(column, justify="right" if numeric else "left", no_wrap=numeric)
    for row in rows:
        grid.add_row(*("" if cell is None else Text(str(cell)) for cell in row))
    console = _console(sys.stdout)
    with console.capture() as drawn:
        console.print(grid)
    # Without the blank ends of lines, so that what is shown can be copied and compared.
    lines = [line.rstrip() for line in drawn.get().splitlines()]
    console.out("\n".join(["", *filter(None, lines), ""]), highlight=False)


@contextmanager
def progress(label: str, total: float | None = None) -> Iterator[Callable[..., None]]:
    """Shows a bar on stderr for a long step; yields `move(done, total=None)`.

    `done` is the amount done so far, not a step. Without a terminal only the end is told.
    """
    started = time.monotonic()
    if not sys.stderr.isatty():
        yield lambda done, total=None: None
        event("step_done", step=label, seconds=f"{time.monotonic() - started:.1f}")
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description:<24}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=_console(sys.stderr),
    ) as bar:
        task = bar.add_task(label, total=total)

        def move(done: float, total: float | None = None) -> None:
            # None leaves the total as it was.
            bar.update(task, completed=done, total=total)

        yield move
        end = bar.tasks[0].total
        bar.update(task, completed=1 if end is None else end, total=1 if end is None else end)


def _console(stream: Any) -> Any:
    from rich.console import Console

    wide = None if stream.isatty() or os.environ.get("COLUMNS") else PIPE_COLUMNS
    return Console(file=stream, width=wide, highlight=False)
