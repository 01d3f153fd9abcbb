"""The schema, revision by revision, for both stores."""

from __future__ import annotations

import sqlalchemy as sa

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite's INTEGER has 64 bits, and only it numbers rows
