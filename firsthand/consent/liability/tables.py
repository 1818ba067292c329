"""The tables of this room: what wearers signed, what was freed of quarantine, what happened."""

import sqlalchemy as sa

from firsthand.db import metadata


def _person() -> sa.Column:
    return sa.Column("person", sa.String, sa.ForeignKey("person.id"), nullable=False, index=True)


agreements = sa.Table(
    "wearer_agreement",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    _person(),
    sa.Column("text_version", sa.String, nullable=False),
    sa.Column("text_sha256", sa.String, nullable=False),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("stop_ns", sa.BigInteger, nullable=False),  # brought forward where it was ended
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
freed = sa.Table(
    "quarantine_freed",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    _person(),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("stop_ns", sa.BigInteger, nullable=False),
    sa.Column("reviewer", sa.String, nullable=False),
    sa.Column("freed_ns", sa.BigInteger, nullable=False),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
incidents = sa.Table(
    "incident",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    _person(),
    sa.Column("device", sa.String, nullable=False),  # empty where none had a part in it
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("words", sa.String, nullable=False),
    sa.Column("noted_by", sa.String, nullable=False),
    sa.Column("happened_ns", sa.BigInteger, nullable=False),
    sa.Column("noted_ns", sa.BigInteger, nullable=False),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
