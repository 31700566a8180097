"""A store and model versions of any size for a served benchmark: random vectors, published as a trainer does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.clock import DAY_US, now_us, to_rfc3339
from app.db import keys, tables, trainings
from app.db.append import NewInteraction, append
from app.db.engine import Store, open_store
from app.db.migrate import ensure_schema
from app.db.watermark import Watermark
from app.snapshots import SnapshotStore
from app.training.dataset import read_events
from app.training.history import build_histories
from model.histories import Histories
from model.policy import GROUPS, group_of
from model.policy_choice import USUAL_BETAS
from model.served import ServedModel, ServedPolicy

USER_PREFIX, ITEM_PREFIX = "user-", "item-"
EVENT_TYPE = "click"
# As the recipe trains: items of length 1, users of 1 over the temperature.
USER_LENGTH = 5.0
POPULARITY_MEDIAN, POPULARITY_SPREAD = 1.6, 1.2
ROWS_AT_ONCE = 100_000
MOST_AT_ONCE = 10_000
HISTORY_DAYS = 30
LEASE_US = 600 * 1_000_000


@dataclass(frozen=True)
class Sizes:
    """How large a store is, and how much popularity says in its versions.

    Attributes:
        history: interactions of each user.
        beta: weight of the logarithm of popularity for everybody; None for the usual ones of a training.
    """

    items: int
    users: int
    dimensions: int
    history: int
    beta: float | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A store with users, items and interactions, and no version yet.

    Attributes:
        key: an API key that may read.
        histories, watermark: what its users did, as a training reads it, and which rows these are.
    """

    store: Store
    database_url: str
    model_dir: Path
    key: str
    sizes: Sizes
    histories: Histories
    watermark: Watermark

    def close(self) -> None:
        """Let go of the store."""
        self.store.dispose()


def prepare(folder: Path, sizes: Sizes, *, seed: int) -> Prepared:
    """Make the store in a folder: ids `user-1`, `item-1` and so on, the keys 1 and up, items drawn uniformly."""
    database_url, model_dir = f"sqlite:///{folder}/likewise.db", folder / "models"
    model_dir.mkdir()
    store = open_store(database_url)
    ensure_schema(store)
    random, now = np.random.default_rng(seed), now_us()
    users = np.repeat(np.arange(1, sizes.users + 1), sizes.history)
    items = random.integers(1, sizes.items, len(users), endpoint=True)
    times = now - np.sort(random.integers(0, HISTORY_DAYS * DAY_US, len(users)))[::-1]
    # Mixed among the users, as they come in.
    users = random.permutation(users)
    user_ids = {key: f"{USER_PREFIX}{key}" for key in range(1, sizes.users + 1)}
    item_ids = {key: f"{ITEM_PREFIX}{key}" for key in range(1, sizes.items + 1)}
    with store.write_unhurried() as connection:
        _insert(connection, tables.users, user_key=list(user_ids), user_id=list(user_ids.values()), created_us=now)
        # With records, so that items that nobody had are in the catalogue, too.
        _insert(connection, tables.items, item_key=list(item_ids), item_id=list(item_ids.values()), updated_us=now)
        _insert(
            connection,
            tables.interactions,
            user_key=users.tolist(),
            item_key=items.tolist(),
            occurred_us=times.tolist(),
            event_type=EVENT_TYPE,
            value=1.0,
            received_us=now,
        )
        _, key = keys.create(connection, "benchmark", "read", now)
    events = read_events(store)
    return Prepared(store, database_url, model_dir, key, sizes, build_histories(store, events), events.watermark)


def random_model(sizes: Sizes, *, now_us: int, seed: int) -> ServedModel:
    """A version of random numbers for all users and items, the keys 1 and up, each user with the history of `sizes`.

    Users have the length that the recipe's temperature gives them and items the length 1, so personal scores spread by
    about USER_LENGTH / sqrt(D); a history is folded in by its mean. Popularity is as skewed as that of the data sets in
    docs/benchmarks.md: half of the items have less than POPULARITY_MEDIAN, a hundredth of them sixteen times that.
    """
    random = np.random.default_rng(seed)
    history_sizes = np.full(sizes.users, sizes.history)
    popularity = random.lognormal(np.log(POPULARITY_MEDIAN), POPULARITY_SPREAD, size=sizes.items)
    # Any order of the keys, and the most popular ones first, as a training stores them.
    item_keys = random.permutation(sizes.items) + 1
    return ServedModel(
        user_keys=np.arange(1, sizes.users + 1),
        item_keys=item_keys,
        items_by_key=np.argsort(item_keys),
        user_vectors=_vectors(random, sizes.users, sizes.dimensions, length=USER_LENGTH),
        user_groups=group_of(history_sizes),
        history_sizes=history_sizes.astype(np.int32),
        item_vectors=_vectors(random, sizes.items, sizes.dimensions, length=1.0),
        item_biases=random.normal(scale=0.1, size=sizes.items).astype(np.float32),
        popularity=-np.sort(-popularity),
        betas=np.array(USUAL_BETAS if sizes.beta is None else [sizes.beta] * len(GROUPS)),
        fold_in_matrices=np.eye(sizes.dimensions, dtype=np.float32),
        fold_in_offsets=np.zeros((1, sizes.dimensions), dtype=np.float32),
        policy=ServedPolicy(
            popularity_now_us=float(now_us),
            popularity_half_life_us=float(HISTORY_DAYS * DAY_US),
            fold_in_length=USER_LENGTH,
            fold_in_half_life_us=None,
            repeats=None,
            event_weights={EVENT_TYPE: 1.0},
        ),
    )


def add_later(prepared: Prepared) -> None:
    """One more interaction for every user, after what the versions know."""
    sizes, now = prepared.sizes, now_us()
    items = np.random.default_rng(2).integers(1, sizes.items, sizes.users, endpoint=True).tolist()
    rows = [
        NewInteraction(f"{USER_PREFIX}{user}", f"{ITEM_PREFIX}{item}", EVENT_TYPE, 1.0, now)
        for user, item in enumerate(items, 1)
    ]
    for start in range(0, len(rows), MOST_AT_ONCE):
        with prepared.store.write() as connection:
            append(connection, rows[start : start + MOST_AT_ONCE], received_us=now)


def save_version(prepared: Prepared, number: int) -> tuple[str, str]:
    """Write a version's two snapshots, not published yet; returns their name and the SHA-256 of the model's manifest.

    Args:
        number: also the seed of its random numbers; versions are published in the order of their numbers.
    """
    served = random_model(prepared.sizes, now_us=now_us(), seed=number)
    snapshots, name = SnapshotStore(prepared.model_dir), f"bench-{number:06d}"
    stored = {"store_id": prepared.store.store_id(), "created_at": to_rfc3339(now_us())}
    facts = {"watermark": prepared.watermark.to_json()}
    snapshots.save("history", name, prepared.histories.arrays(), facts=prepared.histories.facts() | facts, **stored)
    return snapshots.save("model", name, served.arrays(), facts=served.facts() | facts, **stored)


def publish(prepared: Prepared, name: str, manifest_sha256: str) -> int:
    """Make a saved version the one that answers, as the end of a training does; returns its number."""
    with prepared.store.write() as connection:
        now, sizes = now_us(), prepared.sizes
        trainings.queue(connection, "cli", now_us=now)
        claim = trainings.claim(connection, "benchmark", now_us=now, lease_us=LEASE_US)
        if claim is None:
            raise RuntimeError("somebody else trains on the benchmark's store")
        version = trainings.publish(
            connection,
            claim,
            now_us=now,
            folder=name,
            manifest_sha256=manifest_sha256,
            metrics={},
            config={},
            watermark=prepared.watermark,
            users=sizes.users,
            items=sizes.items,
            rows=sizes.users * sizes.history,
            seed=None,
        )
        trainings.finish(connection, claim, "succeeded", now_us=now)
        return version


def array_bytes(model_dir: Path, name: str) -> int:
    """Bytes of a version's arrays, those of its history included."""
    return sum(
        path.stat().st_size for kind in ("models", "history") for path in (model_dir / kind / name).glob("*.bin")
    )


def _vectors(random: np.random.Generator, rows: int, dimensions: int, *, length: float) -> NDArray[np.float32]:
    vectors = random.standard_normal((rows, dimensions), dtype=np.float32)
    vectors *= np.float32(length) / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _insert(connection: sa.Connection, table: sa.Table, **columns: Any) -> None:  # noqa: ANN401 - lists or constants
    """Add rows in parts; a column that is no list is the same in all of them."""
    for rows in _rows(columns):
        connection.execute(sa.insert(table), rows)


def _rows(columns: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    lists = {name: column for name, column in columns.items() if isinstance(column, list)}
    constants = {name: column for name, column in columns.items() if name not in lists}
    count = len(next(iter(lists.values())))
    for start in range(0, count, ROWS_AT_ONCE):
        part = zip(*(column[start : start + ROWS_AT_ONCE] for column in lists.values()), strict=True)
        if rows := [dict(zip(lists, values, strict=True), **constants) for values in part]:
            yield rows
