"""What a model expects of a moment in a person's life: the next steps, and how sure it is.

Of events a distribution over joint classes; of ticks one for each slot of the wearer's own.
"""

from dataclasses import dataclass

import numpy as np

from firsthand.emulate.memory import Memory
from firsthand.learn import slots, store
from firsthand.learn.evaluate_slots import owned
from firsthand.learn.streams import Stream
from firsthand.learn.train import mixed
from firsthand.learn.vocabulary import Codes

Guess = tuple[dict[str, str], float]


@dataclass(frozen=True)
class Expected:
    """The likeliest next steps, best first, and whether something never seen is likelier still;
    of the steps before, one after the other, nats beyond the entropy, and their variance."""

    top: tuple[Guess, ...]
    unseen: bool
    excess: np.ndarray
    variance: np.ndarray


def expect(memory: Memory, stream: Stream, first: int, k: int) -> Expected:
    """What is expected of the last step of a stream, and was of those from `first` on,
    test-then-train."""
    if isinstance(memory.model, store.SlotModel):
        return _slots(memory.model, memory.person, stream, first, k)
    return _joint(memory.model, memory.person, stream, first, k)


def _joint(model: store.JointModel, person: str, stream: Stream, first: int, k: int) -> Expected:
    life = model.codes(stream)
    log_p = joint_log_p(model, person, life, first)
    excess, variance = beyond(log_p[:-1], life.joint[first:-1])
    names, classes = tuple(model.vocabulary.own), model.vocabulary.classes
    best = np.argsort(-log_p[-1, :-1])[:k]
    top = tuple(
        (dict(zip(names, classes[c], strict=True)), float(np.exp(log_p[-1, c]))) for c in best
    )
    return Expected(top, bool(log_p[-1].argmax() == len(classes)), excess, variance)


def joint_log_p(model: store.JointModel, person: str, life: Codes, first: int) -> np.ndarray:
    """Log-probabilities [T, C] of the steps of this life from `first` on, test-then-train."""
    others, number = model.others(person), model.numbers[person]
    return mixed(model.mixture, model.panel().listen(person, number, life, first, others))


def beyond(log_p: np.ndarray, joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many nats more than its entropy each step cost, and the variance of that, which the
    predictions themselves imply."""
    p = np.exp(log_p)
    entropy = -(p * log_p).sum(1)
    variance = (p * log_p**2).sum(1) - entropy**2
    return -log_p[np.arange(len(joint)), joint] - entropy, variance


def _slots(model: store.SlotModel, person: str, stream: Stream, first: int, k: int) -> Expected:
    vocabulary, weights, own = model.vocabulary, model.shares.model, owned(model)
    life, number = model.codes(stream), model.numbers[person]
    others = list(model.others(person).values())
    told = slots.listen(vocabulary, model.networks, number, life, first, others, weights)
    fields = tuple(vocabulary.own)
    nats = -np.log(slots.mixed(fields, weights, told, slots.MODEL))
    found = slots.likeliest(vocabulary, model.networks, number, life, others, weights, len(own), k)
    values = [("?", *vocabulary.own[fields[slot]]) for slot in own]
    top = tuple(
        ({fields[slot]: values[slot][code] for slot, code in enumerate(codes)}, chance)
        for codes, chance in found
    )
    # The slots of a second are told one after the other: what they cost adds up. The last step
    # has not happened yet.
    excess = (nats - told.entropy)[:-1, own].sum(1)
    return Expected(top, 0 in found[0][0], excess, told.variance[:-1, own].sum(1))
