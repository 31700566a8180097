"""A made-up data set for machines without a network: people with a taste, and titles that nobody wrote.

Everyone and everything belongs to one of eight planted groups; people mostly take from their own group, popular things
first. A recommender that works finds the groups; one that only counts cannot.
"""

from __future__ import annotations

import numpy as np

from app.demo.dataset import DemoDataset, DemoItem, DemoRating

NAME = "synthetic"
LABEL = "the synthetic data set"
GROUPS = ("Mystery", "Romance", "Space", "History", "Comedy", "Nature", "Music", "Crime")
USERS, ITEMS, ROWS_PER_USER = 600, 480, 40
_OWN_GROUP = 0.8
_START, _DAYS = 1_704_067_200, 180  # 2024-01-01
_FIRST = [
    "Quiet",
    "Second",
    "Hidden",
    "Paper",
    "Silver",
    "Long",
    "Burning",
    "Distant",
    "Broken",
    "Gentle",
    "Northern",
    "Lost",
    "Crooked",
    "Golden",
    "Borrowed",
    "Empty",
    "Salted",
    "Patient",
    "Hollow",
    "Early",
    "Velvet",
    "Stolen",
    "Amber",
    "Last",
]
_SECOND = [
    "Harbour",
    "Orchard",
    "Lantern",
    "Letter",
    "River",
    "Winter",
    "Garden",
    "Signal",
    "Bridge",
    "Summer",
    "Market",
    "Island",
    "Mirror",
    "Station",
    "Meadow",
    "Clock",
    "Shore",
    "Valley",
    "Window",
    "Compass",
]


def generate(*, seed: int = 7) -> DemoDataset:
    """The same data for the same seed: 600 people, 480 items, 24,000 ratings over 180 days."""
    rng = np.random.default_rng(seed)
    item_groups = np.arange(ITEMS) % len(GROUPS)
    popularity = 1.0 / (1.0 + rng.permutation(ITEMS))
    rows = [row for user in range(USERS) for row in _of_user(user, item_groups, popularity, rng)]
    rows.sort(key=lambda rating: rating.seconds)
    return DemoDataset(name=NAME, label=LABEL, ratings=rows, items=_items(item_groups), shown_user_id="person-1")


def _of_user(user: int, item_groups: np.ndarray, popularity: np.ndarray, rng: np.random.Generator) -> list[DemoRating]:
    own = item_groups == user % len(GROUPS)
    chances = np.sqrt(popularity)
    chances = np.where(own, _OWN_GROUP * chances / chances[own].sum(), (1 - _OWN_GROUP) * chances / chances[~own].sum())
    items = rng.choice(ITEMS, size=ROWS_PER_USER, replace=False, p=chances / chances.sum())
    joined = rng.uniform(0, 0.9) * _DAYS
    seconds = _START + np.sort(rng.uniform(joined, _DAYS, size=ROWS_PER_USER) * 86_400).astype(np.int64)
    values = np.clip(np.where(own[items], 4, 3) + rng.integers(-1, 2, size=ROWS_PER_USER), 1, 5)
    return [
        DemoRating(f"person-{user + 1}", f"title-{item + 1}", float(value), int(second))
        for item, value, second in zip(items.tolist(), values.tolist(), seconds.tolist(), strict=True)
    ]


def _items(item_groups: np.ndarray) -> list[DemoItem]:
    return [
        DemoItem(
            f"title-{item + 1}", f"The {_FIRST[item % len(_FIRST)]} {_SECOND[item // len(_FIRST)]}", (GROUPS[group],)
        )
        for item, group in enumerate(item_groups.tolist())
    ]
