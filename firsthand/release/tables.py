"""The tables of this room: releases, who has which name in which, and what was seen before."""

import sqlalchemy as sa

from firsthand.db import metadata

releases = sa.Table(
    "release",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("run", sa.String, nullable=False, index=True),
    sa.Column("state", sa.String, nullable=False),  # making | made | hidden | erased
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
# Segments whose pictures were compared with those of before, and the seconds that don't count.
looked = sa.Table(
    "looked_at",
    metadata,
    sa.Column("segment", sa.String, primary_key=True),
    sa.Column("person", sa.String, nullable=False, index=True),
    sa.Column("plain", sa.JSON, nullable=False),  # seconds since 1970
    sa.Column("repeated", sa.JSON, nullable=False),
)
pictures = sa.Table(
    "seen_picture",
    metadata,
    sa.Column("segment", sa.String, primary_key=True),
    sa.Column("second", sa.BigInteger, primary_key=True),  # since 1970
    sa.Column("key", sa.BigInteger, nullable=False, index=True),
    sa.Column("person", sa.String, nullable=False, index=True),
)
