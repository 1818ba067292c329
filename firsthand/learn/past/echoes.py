"""Echoes: what was done days ago tells what is done now, at the same place of the day.

For each position in a recording every pair of a class and a lag is a hypothesis: that what
happens here depends on whether the class was done so many days ago. All hypotheses, and the one
that nothing matters, are weighed by how well they foretold (Bayesian averaging). For short lists.
"""

import numpy as np

from firsthand.learn.past.compiled import compiled

LAGS = (1, 2, 3, 7)  # days
SLOTS = 96  # positions in a recording; later ones share the last
STRENGTH = 0.5  # prior count on what is usual


def foresee(joint: np.ndarray, position: np.ndarray, day: np.ndarray, classes: int):
    """Log-probabilities [T, C] and a bucket of evidence [T], each step's from those before it.

    A life's steps: joint [T], position in the recording [T], day [T] from 0 on.
    """
    done = np.zeros((int(day.max()) + 1, classes), dtype=np.bool_)
    said, evidence = np.zeros((len(joint), classes)), np.zeros(len(joint), dtype=np.int64)
    slot = np.minimum(position, SLOTS - 1)
    _weigh(joint, slot, day, int(slot.max()) + 1, classes, np.array(LAGS), done, said, evidence)
    return said.astype(np.float32), evidence


@compiled
def _weigh(joint, slot, day, slots, classes, lags, done, said, evidence) -> None:  # type: ignore[no-untyped-def]
    ideas = 1 + len(lags) * classes
    count = np.zeros((slots, ideas, 2, classes), np.float32)
    total = np.zeros((slots, ideas, 2), np.float32)
    trust = np.full((slots, ideas), -np.log(2.0 * len(lags) * classes))
    trust[:, 0] = -np.log(2.0)
    usual = np.full(classes, 0.05)
    cue = np.zeros(ideas, np.int64)
    for step in range(len(joint)):
        s, heap = slot[step], usual.sum()
        most, best, weights = trust[s].max(), 0, 0.0
        for idea in range(ideas):
            cue[idea] = 0
            if idea > 0:
                back = day[step] - lags[(idea - 1) // classes]
                if back >= 0 and done[back, (idea - 1) % classes]:
                    cue[idea] = 1
            weight = np.exp(trust[s, idea] - most)
            weights += weight
            if trust[s, idea] >= trust[s, best]:
                best = idea
            if weight < 1e-5:
                continue
            each = weight / (total[s, idea, cue[idea]] + STRENGTH)
            for c in range(classes):
                said[step, c] += each * (count[s, idea, cue[idea], c] + STRENGTH * usual[c] / heap)
        top = 0.0
        for c in range(classes):
            top = max(top, said[step, c] / weights)
            said[step, c] = np.log(said[step, c] / weights + 1e-9)
        # How sure it is; of anything that happened days ago; and whether one idea leads by far.
        evidence[step] = int(top * 7.99)
        if best > 0:
            evidence[step] += 16 if weights * np.exp(most - trust[s, best]) < 1.1 else 8
        truth = joint[step]
        for idea in range(ideas):
            b = cue[idea]
            trust[s, idea] += np.log(
                (count[s, idea, b, truth] + STRENGTH * usual[truth] / heap)
                / (total[s, idea, b] + STRENGTH)
            )
            count[s, idea, b, truth] += 1
            total[s, idea, b] += 1
        usual[truth] += 1
        done[day[step], truth] = True
