"""The tables of this room, declared once; the functions beside each noun read and write them."""

import sqlalchemy as sa

from firsthand.db import metadata


def _person() -> sa.Column:
    return sa.Column("person", sa.String, sa.ForeignKey("person.id"), nullable=False, index=True)


laws = sa.Table(
    "law_row",
    metadata,
    sa.Column("jurisdiction", sa.String, primary_key=True),
    sa.Column("as_of", sa.String, primary_key=True),
    sa.Column("audio", sa.String, nullable=False),  # one | all | mixed
    sa.Column("video", sa.String, nullable=False),  # yes | no
    sa.Column("closed_places", sa.String, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("reviewer", sa.String, nullable=False),
    sa.Column("expires", sa.String, nullable=False),
)
zones = sa.Table(
    "zone",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    _person(),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("label", sa.String, nullable=False),
    sa.Column("audio", sa.Boolean, nullable=False),
    sa.Column("video", sa.Boolean, nullable=False),
    sa.Column("permission", sa.Boolean, nullable=False),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("stop_ns", sa.BigInteger, nullable=False),
    sa.Column("days", sa.String, nullable=False),
    sa.Column("from_min", sa.Integer, nullable=False),
    sa.Column("to_min", sa.Integer, nullable=False),
    sa.Column("tz", sa.String, nullable=False),
    sa.Column("jurisdiction", sa.String, nullable=False),
    sa.Column("said_ns", sa.BigInteger, nullable=False),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
permits = sa.Table(
    "work_permit",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    _person(),
    sa.Column("label", sa.String, nullable=False),
    sa.Column("employer", sa.String, nullable=False),
    sa.Column("signed_by", sa.String, nullable=False),
    sa.Column("document_sha256", sa.String, nullable=False),
    sa.Column("audio", sa.Boolean, nullable=False),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("stop_ns", sa.BigInteger, nullable=False),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
# How long a person wants to look at their days first; no row: WINDOW_DAYS of review.py.
windows = sa.Table(
    "review_window",
    metadata,
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), primary_key=True),
    sa.Column("days", sa.Integer, nullable=False),
)
# When the last footage of a UTC day came in, and when its wearer said that they had looked.
reviews = sa.Table(
    "review_day",
    metadata,
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), primary_key=True),
    sa.Column("day", sa.String, primary_key=True),
    sa.Column("arrived_ns", sa.BigInteger, nullable=False),
    sa.Column("reviewed_ns", sa.BigInteger, nullable=False),  # 0: not yet
)
# What a bystander asked; the words are a stranger's and go when all is decided.
requests = sa.Table(
    "bystander_request",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("code", sa.String, nullable=False),
    sa.Column("place", sa.String, nullable=False),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("stop_ns", sa.BigInteger, nullable=False),
    sa.Column("words", sa.String, nullable=False),
    sa.Column("asked_ns", sa.BigInteger, nullable=False),
    sa.Column("settled_ns", sa.BigInteger, nullable=False),  # 0: nobody looked whom it concerns
)
holds = sa.Table(
    "bystander_hold",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    _person(),
    sa.Column("request", sa.String, nullable=False),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("stop_ns", sa.BigInteger, nullable=False),
    sa.Column("placed_ns", sa.BigInteger, nullable=False),
    sa.Column("decision", sa.String, nullable=False),  # "" | keep | erase
    sa.Column("decided_ns", sa.BigInteger),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
