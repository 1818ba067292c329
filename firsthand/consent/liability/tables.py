"""The tables of this room: what wearers signed, what was freed, what happened, who watches it."""

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
    sa.Column("study", sa.String, nullable=False),  # of an adverse event: its ethics approval
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("words", sa.String, nullable=False),
    sa.Column("noted_by", sa.String, nullable=False),
    sa.Column("happened_ns", sa.BigInteger, nullable=False),
    sa.Column("noted_ns", sa.BigInteger, nullable=False),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
# Adverse events of people who were erased since: when, of nobody, so that a study is still stopped
# by them. What its monitor let pass is taken away.
past_events = sa.Table(
    "study_past_event",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("study", sa.String, nullable=False),
    sa.Column("happened_ns", sa.BigInteger, nullable=False),
)
# Who watches over a study, named by its ethics approval, and whether it stands still.
watches = sa.Table(
    "study_watch",
    metadata,
    sa.Column("study", sa.String, primary_key=True),
    sa.Column("key", sa.String, nullable=False),  # of the monitor
    sa.Column("most", sa.Integer, nullable=False),  # adverse events within so many days
    sa.Column("days", sa.Integer, nullable=False),
    sa.Column("since_index", sa.BigInteger, nullable=False),  # what was noted before counts no more
    sa.Column("stopped_by", sa.String, nullable=False),  # a key, "rule", or empty: it runs
)
