"""The tables of figures: what people said of themselves, and what was told of them together."""

import sqlalchemy as sa

from firsthand.db import metadata

traits = sa.Table(
    "trait",
    metadata,
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), primary_key=True),
    sa.Column("dimension", sa.String, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("given_ns", sa.BigInteger, nullable=False),
)
published = sa.Table(
    "published_figure",
    metadata,
    sa.Column("figure", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cell", sa.String, primary_key=True),
    sa.Column("value", sa.JSON),  # null: not told
    # Whom a told value is of, to compare others with; of what people said, under masked names.
    sa.Column("members", sa.JSON, nullable=False),
    sa.Column("published_ns", sa.BigInteger, nullable=False),
)
