"""Tokens: what the footage becomes once a tokeniser has read it.

Arithmetic from a layout of slots per second; no tokeniser has been run at this scale.
"""

from fractions import Fraction

from firsthand.plan.footage import hours, hours_per_person
from firsthand.plan.line import Line, text
from firsthand.plan.programme import Programme


def tokens_per_hour(programme: Programme) -> Fraction:
    """Tokens in an hour of footage."""
    return programme.tokens_per_second * 3600 + programme.header_tokens_per_minute * 60


def tokens(programme: Programme) -> Fraction:
    """Tokens in all footage."""
    return hours(programme) * tokens_per_hour(programme)


def lines(programme: Programme) -> list[Line]:
    """The lines on tokens."""
    p = programme
    an_hour = tokens_per_hour(p)
    return [
        Line(
            "tokens",
            "tokens_per_hour",
            f"{text(p.tokens_per_second)}/s x 3,600 + {text(p.header_tokens_per_minute)}/min x 60",
            an_hour,
            "tokens/h",
        ),
        Line(
            "tokens",
            "billion_tokens_per_person",
            f"{text(hours_per_person(p))} h x {text(an_hour)}",
            hours_per_person(p) * an_hour / 10**9,
            "10^9 tokens",
        ),
        Line(
            "tokens",
            "trillion_tokens",
            f"{text(hours(p))} h x {text(an_hour)}",
            tokens(p) / 10**12,
            "10^12 tokens",
        ),
        Line(
            "tokens",
            "tokens_tb",
            f"{text(tokens(p) / 10**12)} x 10^12 tokens x {text(p.bytes_per_token)} bytes",
            tokens(p) * p.bytes_per_token / 10**12,
            "TB",
        ),
    ]
