"""The schema's history."""

from __future__ import annotations

REVISIONS = ("0001",)
"""The revisions in their order, the newest last: known without loading Alembic, which takes 10 MB in every process."""
