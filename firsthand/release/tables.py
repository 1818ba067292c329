"""The tables of this room: releases, and which name each person has in which release."""

import sqlalchemy as sa

from firsthand.db import metadata

releases = sa.Table(
    "release",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("run", sa.String, nullable=False, index=True),
    sa.Column("state", sa.String, nullable=False),  # making | made
    sa.Column("began_ns", sa.BigInteger, nullable=False),
    sa.Column("log_index", sa.BigInteger),
    sa.Column("manifest", sa.JSON),
    sa.Column("summary", sa.JSON),
)
names = sa.Table(
    "release_person",
    metadata,
    sa.Column("release", sa.String, sa.ForeignKey("release.id"), primary_key=True),
    sa.Column("person", sa.String, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
)
