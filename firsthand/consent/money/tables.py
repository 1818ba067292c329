"""The tables of what is earned; ledger.py and formula.py read and write them."""

import sqlalchemy as sa

from firsthand.db import metadata

formulas = sa.Table(
    "formula",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("begins", sa.String, nullable=False),  # the first day (UTC) that it pays for
    sa.Column("cents_per_hour", sa.BigInteger, nullable=False),
    sa.Column("units_per_hour", sa.BigInteger, nullable=False),
    sa.Column("withheld_percent", sa.Integer, nullable=False),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
transactions = sa.Table(
    "ledger_transaction",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    # What it is for, once only: a second posting under the same cause is the first one.
    sa.Column("cause", sa.String, nullable=False, unique=True),
    sa.Column("kind", sa.String, nullable=False),  # hours | bonus | payout
    sa.Column("person", sa.String, nullable=False, index=True),
    sa.Column("day", sa.String, nullable=False, server_default=""),
    sa.Column("seconds", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("formula", sa.Integer, nullable=False, server_default="0"),
    sa.Column("posted_ns", sa.BigInteger, nullable=False),
    sa.Column("log_index", sa.BigInteger, nullable=False),
)
postings = sa.Table(
    "ledger_posting",
    metadata,
    sa.Column("transaction", sa.String, sa.ForeignKey("ledger_transaction.id"), primary_key=True),
    sa.Column("account", sa.String, primary_key=True),  # programme | paid | a person's id
    sa.Column("currency", sa.String, primary_key=True),  # cents | units
    sa.Column("amount", sa.BigInteger, nullable=False),
)
