"""Judging predictions of a task's steps by the truth: losses, ranks, confidence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from firsthand.learn.benchmark.task import Task

JUDGED = ("joint", "fields", "rank", "sure", "right")


@dataclass
class Judged:
    """A person's judged steps [N]: log-probability of the truth, of each field's truth [N, O],
    rank of the truth (0 is first), the chance of the likeliest class and whether it is right."""

    joint: np.ndarray
    fields: np.ndarray
    rank: np.ndarray
    sure: np.ndarray
    right: np.ndarray


def together(rows: Sequence["Judged"]) -> "Judged":
    """Several people's judged steps, one after the other."""
    return Judged(*(np.concatenate([getattr(row, name) for row in rows]) for name in JUDGED))


def judge(task: Task, mask: np.ndarray, log_p: np.ndarray) -> Judged:
    """Measure predictions [N, C] of the steps in the mask [T]."""
    lives, vocabulary = task.lives, task.vocabulary
    truth, steps = lives.joint[mask], np.arange(int(mask.sum()))
    chance = np.exp(log_p.astype(np.float64))
    listed, rest = chance[:, :-1], chance[:, -1]
    unseen = truth == lives.size - 1
    joint = log_p[steps, truth].astype(np.float64)
    joint = joint - np.where(unseen, np.log(vocabulary.unseen_ways), 0.0)
    fields = []
    for number, size in enumerate(vocabulary.own_sizes):
        code = lives.classes[:-1, number]
        table = np.zeros((lives.size - 1, size))
        table[np.arange(len(code)), code] = 1
        # The unseen class is spread evenly over what the list leaves out.
        ways = np.prod(vocabulary.own_sizes) / size - table.sum(0)
        spread = rest[:, None] * np.maximum(ways, 0) / vocabulary.unseen_ways
        both = listed @ table + spread
        own = lives.own[mask, number]
        fields.append(np.log(np.maximum(both[steps, own], 1e-12)))
    best = np.where(unseen, -1.0, listed[steps, np.minimum(truth, lives.size - 2)])
    rank = (listed > best[:, None]).sum(1)
    rank[unseen] = lives.size
    sure = listed.max(1)
    return Judged(joint, np.stack(fields, 1), rank, sure, listed.argmax(1) == truth)
