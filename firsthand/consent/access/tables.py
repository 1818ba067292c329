"""The tables of this room, declared once; the functions beside each noun read and write them."""

import sqlalchemy as sa

from firsthand.db import metadata

keys = sa.Table(
    "access_key",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("name", sa.String, nullable=False, unique=True),
    sa.Column("role", sa.String, nullable=False),  # wearer | reviewer | organisation
    sa.Column("person", sa.String, nullable=False, index=True),  # of a wearer; else empty
    sa.Column("human", sa.String, nullable=False),
    sa.Column("household", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False, unique=True),
    sa.Column("given_ns", sa.BigInteger, nullable=False),
    sa.Column("revoked_ns", sa.BigInteger),
)
views = sa.Table(
    "view",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), nullable=False, index=True),
    sa.Column("asker", sa.String, nullable=False),  # id of an access key
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("stop_ns", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("hours", sa.Integer, nullable=False),
    sa.Column("glass", sa.Boolean, nullable=False),
    sa.Column("asked_ns", sa.BigInteger, nullable=False),
    sa.Column("said", sa.String, nullable=False),  # by the wearer: "" | yes | no
    sa.Column("until_ns", sa.BigInteger, nullable=False),  # 0: not granted
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
approvals = sa.Table(
    "view_approval",
    metadata,
    sa.Column("view", sa.String, sa.ForeignKey("view.id"), primary_key=True),
    sa.Column("approver", sa.String, primary_key=True),  # id of an access key
    sa.Column("approved_ns", sa.BigInteger, nullable=False),
)
# What each human opened of others on a UTC day, for the quota.
opened = sa.Table(
    "view_opened",
    metadata,
    sa.Column("human", sa.String, primary_key=True),
    sa.Column("day", sa.String, primary_key=True),
    sa.Column("segment", sa.String, primary_key=True),
    sa.Column("length_ns", sa.BigInteger, nullable=False),
)
