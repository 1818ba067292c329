"""The tick: a second of a life as sixteen tokens in fixed slots, and whose each slot is.

Eight slots are the wearer's own doing: four quarters of ego-motion, two halves of what the hands
did, sound and a word. Eight are the world's: the scene. tokeniser.py fills them.
"""

from dataclasses import replace
from itertools import zip_longest

from firsthand.errors import Usage
from firsthand.learn.streams import Step, Stream
from firsthand.learn.tokens.scale import BLANK

# In the order in which their spans end: a slot is predicted from those before it.
WEARER = ("motion0", "motion1", "hand0", "motion2", "motion3", "hand1", "sound", "word")
SCENE = tuple(f"scene{number}" for number in range(8))
# The scene as the second ends, among the fields that are predicted.
AHEAD = tuple(f"ahead{number}" for number in range(8))
WEIGHTS = {"own": 1.0, "world": 0.25}  # in the loss
# Fields whose tokens mean the same, in the order in which they come: one list of values for each.
KINDS = {
    "motion": ("motion0", "motion1", "motion2", "motion3"),
    "hand": ("hand0", "hand1"),
    "sound": ("sound",),
    "word": ("word",),
    **{scene: (scene, ahead) for scene, ahead in zip(SCENE, AHEAD, strict=True)},
}


def role(field: str) -> str:
    """Whose a predicted field of a tick is: "own" for the wearer's, "world" for the scene."""
    return "world" if field in AHEAD else "own"


def weights(fields: tuple[str, ...]) -> tuple[float, ...]:
    """The loss weight of each predicted field of a tick."""
    return tuple(WEIGHTS[role(field)] for field in fields)


def to_predict(stream: Stream) -> Stream:
    """The stream as a model is asked to predict it: ticks with all slots, events as they are."""
    return foretell(stream) if stream.kind == "ticks" else stream


def recognise(stream: Stream) -> Stream:
    """A stream read from a file as ticks, where its fields are the sixteen slots; else as it is."""
    fields = (*stream.own, *stream.world)
    if set(fields) != {*WEARER, *SCENE}:
        return stream
    place = {name: number for number, name in enumerate(fields)}
    steps = []
    for step in stream.steps:
        values = (*step.own, *step.world)
        own, world = (tuple(values[place[n]] for n in names) for names in (WEARER, SCENE))
        steps.append(replace(step, own=own, world=world))
    return replace(stream, own=WEARER, world=SCENE, steps=tuple(steps), kind="ticks")


def foretell(stream: Stream) -> Stream:
    """The same ticks with all sixteen slots to predict: own fields WEARER then AHEAD.

    What a tick says of the scene ahead is the scene that the next one begins with; BLANK where
    none follows at once. Usage for a stream that is none of ticks with WEARER and SCENE.
    """
    if (stream.kind, stream.own, stream.world) != ("ticks", WEARER, SCENE):
        raise Usage(
            f"the stream of {stream.person} has no ticks of sixteen slots",
            "take one that a release was tokenised to",
        )
    steps = []
    for step, after in zip_longest(stream.steps, stream.steps[1:]):
        ahead = after.world if after and _follows(step, after) else (BLANK,) * len(AHEAD)
        steps.append(replace(step, own=(*step.own, *ahead)))
    return replace(stream, own=(*WEARER, *AHEAD), steps=tuple(steps))


def _follows(step: Step, after: Step) -> bool:
    return after.gap == "none" and after.start_ns == step.stop_ns
