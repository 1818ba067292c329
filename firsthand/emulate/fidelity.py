"""How true the emulation is to the person: predicted against real, over the held-out day."""

from datetime import UTC, datetime
from math import exp
from pathlib import Path
from typing import Any

from firsthand.emulate.memory import PURPOSE, Ask, remember
from firsthand.learn.evaluate import steps_of

KEPT = ("start_ns", "real", "top1", "p_real", "p_top1", "nats", "entropy")


def day(model_dir: Path, person: str, ask: Ask, purpose: str = PURPOSE) -> list[dict[str, Any]]:
    """A row for each held-out step: time, start_ns, real, top1, p_real, p_top1, nats, entropy.

    The prediction of a row knows the rows before it, and nothing of itself or after. Of a second
    the figures are means over the wearer's own slots.
    """
    memory = remember(model_dir, person, ask, purpose)
    rows = []
    for step in steps_of(memory.model, person).to_pylist():
        time = datetime.fromtimestamp(step["start_ns"] / 1e9, UTC).isoformat()
        step |= {"nats": step["nats.model"], "p_real": exp(-step["nats.model"])}
        rows.append({"time": time} | {name: step[name] for name in KEPT})
    return rows
