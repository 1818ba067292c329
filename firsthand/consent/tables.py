"""The tables of this room, declared once; the functions beside each noun read and write them."""

import sqlalchemy as sa

from firsthand.db import metadata

people = sa.Table(
    "person",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("name", sa.String, nullable=False, unique=True),
    sa.Column("jurisdiction", sa.String, nullable=False),
    sa.Column("status", sa.String, nullable=False),  # active | withdrawn | erased
    sa.Column("salt", sa.LargeBinary),  # opens this person's log entries; erasure destroys it
    sa.Column("added_ns", sa.BigInteger, nullable=False),
)
devices = sa.Table(
    "device",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), nullable=False),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("status", sa.String, nullable=False),  # active | revoked
    sa.Column("added_ns", sa.BigInteger, nullable=False),
)
consents = sa.Table(
    "consent",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), nullable=False, index=True),
    sa.Column("text_version", sa.String, nullable=False),
    sa.Column("text_sha256", sa.String, nullable=False),
    sa.Column("permissions", sa.JSON, nullable=False),
    sa.Column("modifiers", sa.JSON, nullable=False),
    sa.Column("given_ns", sa.BigInteger, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("withdrawn_ns", sa.BigInteger),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
# Consents that begin later than they were given: their text gives time to think it over.
coolings = sa.Table(
    "cooling_off",
    metadata,
    sa.Column("consent", sa.String, primary_key=True),
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), nullable=False, index=True),
    sa.Column("begins_ns", sa.BigInteger, nullable=False),
)
texts = sa.Table(
    "consent_text",
    metadata,
    sa.Column("version", sa.String, primary_key=True),
    sa.Column("words", sa.String, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("older", sa.String, nullable=False),  # keep | limit | end
    sa.Column("dropped", sa.JSON, nullable=False),
    sa.Column("from_ns", sa.BigInteger, nullable=False),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
attestations = sa.Table(
    "attestation",
    metadata,
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), primary_key=True),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
attempts = sa.Table(
    "quiz_attempt",
    metadata,
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), nullable=False, index=True),
    sa.Column("text_sha256", sa.String, nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("log_index", sa.BigInteger, primary_key=True, autoincrement=False),
)
rules = sa.Table(
    "standing_rule",
    metadata,
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), primary_key=True),
    sa.Column("permission", sa.String, primary_key=True),
    sa.Column("choice", sa.String, nullable=False),  # yes | no
)
runs = sa.Table(
    "run",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("proposal", sa.JSON, nullable=False),
    sa.Column("proposal_sha256", sa.String, nullable=False),
    sa.Column("proposed_ns", sa.BigInteger, nullable=False),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
approvals = sa.Table(
    "approval",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("scope", sa.JSON, nullable=False),  # the purposes that it is for
    sa.Column("reviewer", sa.String, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("ended_ns", sa.BigInteger),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
snapshots = sa.Table(
    "run_snapshot",
    metadata,
    sa.Column("log_index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("run", sa.String, sa.ForeignKey("run.id"), nullable=False),
    sa.Column("proposal_sha256", sa.String, nullable=False),
    sa.Column("allowed", sa.JSON, nullable=False),  # ids of people
)
ballots = sa.Table(
    "ballot",
    metadata,
    sa.Column("run", sa.String, sa.ForeignKey("run.id"), primary_key=True),
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), primary_key=True),
    sa.Column("choice", sa.String, nullable=False),  # yes | no
    sa.Column("proposal_sha256", sa.String, nullable=False),
    sa.Column("cast_ns", sa.BigInteger, nullable=False),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
withholds = sa.Table(
    "withhold",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), nullable=False, index=True),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("stop_ns", sa.BigInteger, nullable=False),
    sa.Column("withheld_ns", sa.BigInteger, nullable=False),
    sa.Column("lifted_ns", sa.BigInteger),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
erasures = sa.Table(
    "erasure",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("person", sa.String, nullable=False, index=True),  # empty for a whole release
    sa.Column("scope", sa.String, nullable=False),  # person | interval | segments | release
    sa.Column("start_ns", sa.BigInteger),
    sa.Column("stop_ns", sa.BigInteger),
    sa.Column("ordered_ns", sa.BigInteger, nullable=False),
    sa.Column("done_ns", sa.BigInteger),
    sa.Column("log_index", sa.BigInteger, nullable=False),
    sa.Column("due_ns", sa.BigInteger),  # until then it only hides, and can be undone
    sa.Column("begun_ns", sa.BigInteger),  # something may be destroyed from here on
    sa.Column("undone_ns", sa.BigInteger),
    sa.Column("segments", sa.JSON),  # of scope segments: their ids
    sa.Column("release", sa.String),  # of scope release
    sa.Column("epoch", sa.Integer),  # of the keyring, in which the keys were destroyed
    sa.Column("done_index", sa.BigInteger),  # of the log entry that says so
    sa.Column("outcome", sa.JSON),  # what it came to
)
