"""What a person will do next: the likeliest actions, or an abstention that says why.

Surprise and novelty compare what just happened with what was expected; they need held-out
steps, because a model is never surprised by what it was trained on.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from firsthand.emulate.expect import expect
from firsthand.emulate.memory import PURPOSE, Ask, Memory, remember
from firsthand.errors import Usage

WINDOW = 20  # steps over which novelty is measured
FEWEST = 5  # of them, for a figure to mean anything
LEAST_PAST = 20  # steps of a person's own past below which nothing is claimed
NOVEL = 3.0  # standard deviations


@dataclass(frozen=True)
class Prediction:
    """The likeliest next actions as (fields, probability). `surprise` is in nats: what the last
    action cost beyond what was expected. `novelty` is the same over the last steps, in standard
    deviations. Both are None where too little was lived since training."""

    person: str
    when: str
    top: tuple[tuple[dict[str, str], float], ...]
    surprise: float | None
    novelty: float | None
    abstain: bool
    reason: str


def predict(
    model_dir: Path,
    person: str,
    k: int = 5,
    *,
    ask: Ask,
    at: int | str | None = None,
    purpose: str = PURPOSE,
) -> Prediction:
    """The k likeliest actions that begin at or after `at` (wall ns or ISO 8601; default: now,
    after the last known step). `ask` decides whether this person may be emulated at all."""
    if k < 1:
        raise Usage("k must be positive", "ask for one action or more")
    memory = remember(model_dir, person, ask, purpose)
    stream, index = memory.moment(time_ns(at))
    said = expect(memory, stream, min(memory.held_out, index), k)
    surprise, novelty = surprises(said.excess[-WINDOW:], said.variance[-WINDOW:])
    when = datetime.fromtimestamp(stream.steps[-1].start_ns / 1e9, UTC).isoformat()
    reason = _doubt(memory, said.unseen, index, novelty)
    return Prediction(person, when, said.top, surprise, novelty, bool(reason), reason or "")


def time_ns(at: int | str | None) -> int | None:
    """A moment as wall-clock ns. Raises Usage for what is no time."""
    if at is None or isinstance(at, int):
        return at
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise Usage(f"{at!r} is no time", "write it as 2026-01-09T08:04:00") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1e9)


def surprises(excess: np.ndarray, variance: np.ndarray) -> tuple[float | None, float | None]:
    """Surprise of the last step in nats, and novelty of all: the sum of loss minus entropy, in
    its own standard deviations; both from expect.py."""
    if len(excess) < FEWEST:
        return None, None
    return float(excess[-1]), float(excess.sum() / np.sqrt(variance.sum() + 1e-9))


def _doubt(memory: Memory, unseen: bool, index: int, novelty: float | None) -> str | None:
    """Why this prediction should not be acted on; None where there is no reason."""
    if index < LEAST_PAST:
        return f"only {index} steps of this person's past are known"
    if index < memory.held_out:
        return "the model was trained on this moment, so its prediction proves nothing"
    if unseen:
        return "something never seen before is the likeliest"
    if novelty is not None and novelty > NOVEL:
        return f"the last steps are {novelty:.1f} standard deviations out of the ordinary"
    return None
