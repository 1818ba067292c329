"""Compute: one pass of training over all tokens, by the rule of 6 x parameters x tokens.

Arithmetic from the rule and a card's data sheet; nothing of this size has been trained here.
"""

from fractions import Fraction

from firsthand.plan.footage import hours_per_person
from firsthand.plan.line import Line, text
from firsthand.plan.programme import Programme
from firsthand.plan.tokens import tokens, tokens_per_hour

FLOP_PER_PARAMETER_TOKEN = 6
# Tokens for each parameter at which a given compute budget is best spent (Hoffmann et al. 2022).
TOKENS_PER_PARAMETER = 20


def flop(programme: Programme) -> Fraction:
    """Floating point operations of one epoch."""
    parameters = programme.billion_parameters * 10**9
    return FLOP_PER_PARAMETER_TOKEN * parameters * tokens(programme)


def gpu_hours(programme: Programme) -> Fraction:
    """Hours of one accelerator for one epoch."""
    per_second = programme.gpu_teraflops * 10**12 * programme.gpu_use
    return flop(programme) / per_second / 3600


def lines(programme: Programme) -> list[Line]:
    """The lines on compute."""
    p = programme
    a_person = hours_per_person(p) * tokens_per_hour(p)
    return [
        Line(
            "compute",
            "billion_parameters_for_all",
            f"{text(tokens(p) / 10**9)} x 10^9 tokens / {TOKENS_PER_PARAMETER}",
            tokens(p) / TOKENS_PER_PARAMETER / 10**9,
            "10^9 parameters",
        ),
        Line(
            "compute",
            "million_parameters_for_one_person",
            f"{text(a_person / 10**6)} x 10^6 tokens / {TOKENS_PER_PARAMETER}",
            a_person / TOKENS_PER_PARAMETER / 10**6,
            "10^6 parameters",
        ),
        Line(
            "compute",
            "training_flop",
            f"{FLOP_PER_PARAMETER_TOKEN} x {text(p.billion_parameters)} x 10^9 parameters"
            f" x {text(tokens(p) / 10**12)} x 10^12 tokens",
            flop(p),
            "FLOP",
        ),
        Line(
            "compute",
            "gpu_hours",
            f"{text(flop(p))} FLOP / ({text(p.gpu_teraflops)} TFLOP/s"
            f" x {text(p.gpu_use * 100)} %) / 3,600",
            gpu_hours(p),
            "h",
        ),
        Line(
            "compute",
            "training_dollars",
            f"{text(gpu_hours(p))} h x ${text(p.dollars_per_gpu_hour)}",
            gpu_hours(p) * p.dollars_per_gpu_hour,
            "$",
        ),
    ]
