"""Data sets that are brought along: NAME/NAME.npz in a folder, as `Interactions`.

Arrays user and item, of any whole numbers; value, timestamp (seconds) and split (0 train, 2 test) if there.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.interactions import Interactions

DEFAULT_FOLDER = Path("../shared/data")
TEST = 2


class DataParser(ArgumentParser):
    """Arguments of a program on data sets: where they are, and which.

    Args:
        needed: arrays that a data set must have to be one of those that run where none is named.
    """

    def __init__(self, program: str, needed: Sequence[str] = ("user", "item")) -> None:
        super().__init__(prog=f"python -m {program}")
        self._needed = needed
        there = DEFAULT_FOLDER.is_dir()
        self.add_argument(
            "--data",
            type=Path,
            required=not there,
            default=DEFAULT_FOLDER if there else None,
            metavar="DIR",
            help="folder with NAME/NAME.npz",
        )
        self.add_argument(
            "--name",
            action="append",
            help=f"data set, may be repeated; default: each of the folder that has {', '.join(needed)}",
        )

    def names(self, folder: Path, named: Sequence[str] | None) -> Sequence[str]:
        """What was named, or else all that the folder holds, small files first; ends the program where that is none."""
        if named:
            return named
        found = [path for path in folder.glob("*/*.npz") if self._fits(path)]
        if not found:
            self.error(f"{folder} holds no NAME/NAME.npz with {', '.join(self._needed)}")
        return [path.stem for path in sorted(found, key=lambda path: path.stat().st_size)]

    def _fits(self, path: Path) -> bool:
        with np.load(path) as data:
            return path.stem == path.parent.name and set(self._needed) <= set(data.files)


def load(folder: Path, name: str) -> Interactions:
    """All rows, in the order of time if it is known; users and items numbered without gaps, values as ratings."""
    return _load(folder, name)[0]


def load_train(folder: Path, name: str) -> Interactions:
    """As `load`, without the rows of a published test."""
    interactions, split_N = _load(folder, name)
    return interactions if split_N is None else some_rows(interactions, split_N != TEST)


def load_split(folder: Path, name: str) -> tuple[Interactions, Interactions]:
    """Train and test of a published split, numbered together.

    Raises: KeyError for a file without a split.
    """
    interactions, split_N = _load(folder, name)
    if split_N is None:
        raise KeyError(f"{name} has no split")
    return some_rows(interactions, split_N != TEST), some_rows(interactions, split_N == TEST)


def some_rows(interactions: Interactions, kept_N: NDArray[np.bool_] | NDArray[np.int64]) -> Interactions:
    """Rows of a file, under the same numbers."""
    values, times = interactions.ratings, interactions.timestamps
    return Interactions(
        interactions.user_ids[kept_N],
        interactions.item_ids[kept_N],
        ratings=None if values is None else values[kept_N],
        timestamps=None if times is None else times[kept_N],
        num_users=interactions.num_users,
        num_items=interactions.num_items,
    )


def drawn_users(interactions: Interactions, count: int, *, seed: int) -> Interactions:
    """The rows of so many users, drawn; all rows if there are no more."""
    users = np.unique(interactions.user_ids)
    if len(users) <= count:
        return interactions
    drawn = np.random.default_rng(seed).choice(users, count, replace=False)
    return some_rows(interactions, np.isin(interactions.user_ids, drawn))


def _load(folder: Path, name: str) -> tuple[Interactions, NDArray[np.int64] | None]:
    with np.load(folder / name / f"{name}.npz") as data:
        columns = {key: data[key] for key in ("user", "item", "value", "timestamp", "split") if key in data}
    if "timestamp" in columns:
        order_N = np.argsort(columns["timestamp"], kind="stable")
        columns = {key: column[order_N] for key, column in columns.items()}
    interactions = Interactions(
        np.unique(columns["user"], return_inverse=True)[1],
        np.unique(columns["item"], return_inverse=True)[1],
        ratings=columns.get("value"),
        timestamps=columns.get("timestamp"),
    )
    return interactions, columns.get("split")
