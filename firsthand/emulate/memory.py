"""A person's memory: the steps lived so far, opened only after consent was asked.

Everything a query may use of a person passes through here; the experts that read it are learn's.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from firsthand.errors import NotFound
from firsthand.learn import store
from firsthand.learn.streams import Step, Stream

# Asked before anything of the person is read: (person, purpose); raises Refused for a no.
Ask = Callable[[str, str], None]
PURPOSE = "emulate-self"


@dataclass(frozen=True)
class Memory:
    """A person within a loaded model. `held_out` is the index of the first step that the model
    was not trained on."""

    model: store.Trained
    person: str
    stream: Stream
    held_out: int

    def moment(self, at_ns: int | None) -> tuple[Stream, int]:
        """The stream up to the step that begins at or after `at_ns`, and that step's index.

        Its own fields are blanked: it is to be predicted. Beyond the last step, and without a
        time, the moment is now: what was last seen is taken to be still in sight.
        """
        steps = self.stream.steps
        starts = np.array([step.start_ns for step in steps])
        index = len(steps) if at_ns is None else int(np.searchsorted(starts, at_ns))
        if index < len(steps):
            next_step = steps[index]
        else:
            last = steps[-1]
            now_ns = max(at_ns or 0, last.stop_ns)
            next_step = Step(now_ns, now_ns, last.recording, last.own, last.world)
        blank = replace(next_step, own=("",) * len(next_step.own), stop_ns=next_step.start_ns)
        return replace(self.stream, steps=(*steps[:index], blank)), index


def remember(model_dir: Path, person: str, ask: Ask, purpose: str = PURPOSE) -> Memory:
    """Open a person's memory. Asks first; raises what `ask` raises, or NotFound."""
    ask(person, purpose)
    model = store.load(model_dir)
    if person not in model.streams:
        known = ", ".join(sorted(model.streams)) or "nobody"
        raise NotFound(f"the model {model_dir} knows no person {person}", f"it knows {known}")
    return Memory(model, person, model.streams[person], model.split(person)[1])
