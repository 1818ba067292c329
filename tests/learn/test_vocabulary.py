from dataclasses import replace

import numpy as np
import pytest
from lives import life

from firsthand.errors import Usage
from firsthand.learn.streams import Step, Stream
from firsthand.learn.vocabulary import Vocabulary, fit_vocabulary, spans


def test_what_training_never_showed_is_the_unseen_class_and_value_zero():
    stream = life("ann")
    vocabulary = fit_vocabulary([stream])
    odd = replace(stream.steps[0], own=("fry", "egg"), world=("dim",))
    codes = vocabulary.encode(replace(stream, steps=(odd, *stream.steps[1:])))
    assert codes.joint[0] == vocabulary.size - 1
    assert codes.own[0].tolist() == [0, 0]
    assert codes.world[0, 0] == 0


def test_a_class_of_known_words_never_seen_together_is_unseen():
    stream = life("ann")
    odd = replace(stream.steps[0], own=("fill", "tea"))
    vocabulary = fit_vocabulary([stream])
    codes = vocabulary.encode(replace(stream, steps=(odd,)))
    assert codes.joint[0] == vocabulary.size - 1
    assert (codes.own[0] > 0).all()


def test_listed_and_unseen_classes_together_are_all_that_can_be_named():
    vocabulary = fit_vocabulary([life("ann")])
    total = np.prod(vocabulary.own_sizes)
    assert len(vocabulary.classes) + vocabulary.unseen_ways == total


def test_json_gives_the_vocabulary_back():
    vocabulary = fit_vocabulary([life("ann"), life("bob")])
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


def test_other_fields_than_those_of_training_are_refused():
    vocabulary = fit_vocabulary([life("ann")])
    with pytest.raises(Usage, match="fields"):
        vocabulary.encode(replace(life("ann"), own=("verb", "tool")))


def test_how_long_a_step_lasts_is_unknown_until_the_next_begins():
    def lasted(stop):
        steps = (Step(0, stop, "r", ("x",)), Step(4 * 10**9, 5 * 10**9, "r", ("x",)))
        return spans(Stream("a", ("f",), (), steps))[2][1]

    assert lasted(3 * 10**9) == 3.0
    assert lasted(9 * 10**9) == lasted(8 * 10**9) == 4.0


def test_a_persons_codes_do_not_depend_on_later_steps():
    stream = life("ann")
    vocabulary = fit_vocabulary([stream])
    whole, part = (
        vocabulary.encode(stream),
        vocabulary.encode(replace(stream, steps=stream.steps[:50])),
    )
    assert (whole.world[:50] == part.world).all()
    assert (whole.own[:50] == part.own).all()
