"""How true the emulation is to the person: predicted against real, over the held-out day."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from firsthand.emulate.memory import PURPOSE, Ask, remember
from firsthand.learn.evaluate import judge


def day(model_dir: Path, person: str, ask: Ask, purpose: str = PURPOSE) -> list[dict[str, Any]]:
    """A row for each held-out step: time, start_ns, real, top1, p_real, p_top1, nats, entropy.

    The prediction of a row knows the rows before it, and nothing of itself or after.
    """
    memory = remember(model_dir, person, ask, purpose)
    judged = judge(memory.model, person)
    classes = [" ".join(row) for row in memory.model.vocabulary.classes] + ["?"]
    rows = []
    for t, truth in enumerate(judged.truth):
        p = np.exp(judged.log_p[t])
        rows.append(
            {
                "time": datetime.fromtimestamp(judged.start_ns[t] / 1e9, UTC).isoformat(),
                "start_ns": int(judged.start_ns[t]),
                "real": " ".join(truth),
                "top1": classes[int(p.argmax())],
                "p_real": float(np.exp(judged.models["model"][t])),
                "p_top1": float(p.max()),
                "nats": float(-judged.models["model"][t]),
                "entropy": float(-(p * judged.log_p[t]).sum()),
            }
        )
    return rows
