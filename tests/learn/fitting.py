"""Small fits for the tests: two people's lives, dropout on, every update told."""

import json
from pathlib import Path

from lives import life

from firsthand.learn.network import fit
from firsthand.learn.network.model import shape_for
from firsthand.learn.vocabulary import fit_vocabulary

RECIPE = fit.Recipe(updates=12, batch=4, window=32, seed=3, log_every=1)


def school():
    """Their vocabulary, a network's shape and their lives."""
    streams = [life("ann"), life("bob")]
    vocabulary = fit_vocabulary(streams)
    shape = shape_for(1, vocabulary.own_sizes, vocabulary.world_sizes, 2)
    return vocabulary, shape, [(i + 1, vocabulary.encode(s)) for i, s in enumerate(streams)]


def lines(path: Path) -> list[dict]:
    """The lines of a metrics.jsonl."""
    return [json.loads(line) for line in path.open()]


def curve(path: Path) -> list[tuple[int, float]]:
    """(update, loss) of all told updates, as they stand in metrics.jsonl."""
    return [(row["update"], row["loss"]) for row in lines(path) if "loss" in row]
