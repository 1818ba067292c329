"""The tables of what is to be after death; directive.py and death.py read and write them."""

import sqlalchemy as sa

from firsthand.db import metadata

directives = sa.Table(
    "estate_directive",
    metadata,
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), primary_key=True),
    sa.Column("may", sa.JSON, nullable=False),  # act -> names
    sa.Column("destroy_after_years", sa.Integer, nullable=False),
    sa.Column("set_ns", sa.BigInteger, nullable=False),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
attestations = sa.Table(
    "death_attestation",
    metadata,
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), primary_key=True),
    sa.Column("attestor", sa.String, primary_key=True),
    sa.Column("household", sa.String, nullable=False),
    sa.Column("document_sha256", sa.String, nullable=False),
    sa.Column("attested_ns", sa.BigInteger, nullable=False),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
stops = sa.Table(
    "estate_stop",
    metadata,
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), primary_key=True),
    sa.Column("by", sa.String, nullable=False),
    sa.Column("stopped_ns", sa.BigInteger, nullable=False),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
