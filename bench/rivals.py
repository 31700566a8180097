"""What a policy has to beat: each rival at its best, its settings chosen on the window before the cut.

Popularity with a half-life, a user's own repeats, item neighbours, EASE, and iALS of the package `implicit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.methods import Method, for_everyone
from model.baselines import EASE, MOST_ITEMS, ItemKNN, OwnRepeats, Popularity
from model.evaluation import TemporalSplit, temporal_split
from model.interactions import Interactions

SHARES_OF_SPAN = tuple(2.0**-power for power in range(1, 11))
NO_IMPLICIT = "the package implicit is not installed (pip install -e '.[bench]')"
Settings = Mapping[str, float | None]


class Scorer(Protocol):
    """What a fit gives."""

    def scores(self, user_numbers: NDArray[np.integer[Any]]) -> NDArray[np.float32]: ...


class Family(NamedTuple):
    """A rival before its settings are chosen; in an ordered grid neighbours are alike, and a lone peak is chance."""

    label: str
    fit: Callable[..., Scorer]
    grid: Sequence[Settings]
    ordered: bool = False


class IALS:
    """Implicit alternating least squares (Hu, Koren, Volinsky 2008) of the package `implicit`, 64 dimensions.

    Raises: SystemExit if the package is not installed.
    """

    def __init__(self, interactions: Interactions, *, regularization: float, alpha: float) -> None:
        try:
            from implicit.cpu.als import AlternatingLeastSquares
            from threadpoolctl import threadpool_limits
        except ImportError:
            raise SystemExit(f"iALS: {NO_IMPLICIT}") from None
        matrix = interactions.tocsr()
        matrix.data = np.ones(matrix.nnz, dtype=np.float32)
        # Its own threads and those of BLAS would fight over the cores.
        with threadpool_limits(1, user_api="blas"):
            model = AlternatingLeastSquares(
                factors=64, regularization=regularization, alpha=alpha, iterations=15, random_state=1
            )
            model.fit(matrix, show_progress=False)
        self._users: NDArray[np.float32] = model.user_factors
        self._items: NDArray[np.float32] = model.item_factors

    def scores(self, user_numbers: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Products of the factors, shape (B, I)."""
        scores: NDArray[np.float32] = self._users[user_numbers] @ self._items.T
        return scores


def tuned_rivals(earlier: Interactions, *, wanted: Sequence[str] = ()) -> Iterator[dict[bool, Method]]:
    """Rivals fitted on what lies before a cut, for new items only (False) and with repeats allowed (True).

    Args:
        wanted: labels; empty for all. Popularity is always there, since strangers get it.
    """
    before = temporal_split(earlier)
    half_lives = spans(earlier, SHARES_OF_SPAN)
    popular = tuned(Family("popular lately", Popularity, half_lives, ordered=True), before, earlier)
    yield popular
    strangers_I = {repeats: method.scores(np.array([-1]))[0] for repeats, method in popular.items()}
    missing = left_out(earlier)
    for family in families(earlier):
        if family.label in wanted or (not wanted and family.label not in missing):
            found = tuned(family, before, earlier)
            yield {
                repeats: method._replace(scores=for_everyone(method.scores, strangers_I[repeats]))
                for repeats, method in found.items()
            }


def families(earlier: Interactions) -> list[Family]:
    """The rivals beside popularity."""
    return [
        Family("popular ever", Popularity, [{"half_life": None}]),
        Family("own repeats", OwnRepeats, spans(earlier, SHARES_OF_SPAN), ordered=True),
        Family(
            "item-kNN",
            ItemKNN,
            [{"neighbours": count, "shrinkage": shrinkage} for count in (20, 100, 500) for shrinkage in (0, 50)],
        ),
        Family("EASE", EASE, [{"regularization": each} for each in (100.0, 300.0, 1000.0)]),
        Family(
            "iALS",
            IALS,
            [
                {"regularization": each, "alpha": alpha}
                for each in (0.1, 1.0, 10.0, 100.0, 1000.0)
                for alpha in (1, 10, 40)
            ],
        ),
    ]


def left_out(earlier: Interactions) -> dict[str, str]:
    """Rivals that are not fitted unless they are named, and why."""
    missing = {}
    if earlier.num_items > MOST_ITEMS:
        missing["EASE"] = f"{earlier.num_items:,} items are more than its limit of {MOST_ITEMS:,}"
    if find_spec("implicit") is None:
        missing["iALS"] = NO_IMPLICIT
    return missing


def spans(earlier: Interactions, shares: Sequence[float]) -> list[Settings]:
    """Half-lives to choose from: none, and shares of the time the data spans."""
    if earlier.timestamps is None or not len(earlier):
        return [{"half_life": None}]
    span = float(earlier.timestamps.max() - earlier.timestamps.min())
    return [{"half_life": None}, *({"half_life": span * share} for share in shares if span > 0)]


def tuned(family: Family, before: TemporalSplit, earlier: Interactions) -> dict[bool, Method]:
    """The family fitted on `earlier` with the settings of the best NDCG@20 on the split before, for each protocol."""
    windows = {repeats: before.window(repeats=repeats) for repeats in (False, True)}
    qualities: dict[bool, list[float]] = {False: [], True: []}
    for settings in family.grid:
        scorer = family.fit(before.earlier, **settings)
        for repeats, window in windows.items():
            qualities[repeats].append(float(window.ndcg(scorer.scores).mean()) if len(window) else 0.0)
    places = {
        repeats: int(np.argmax(smoothed(found) if family.ordered else found)) for repeats, found in qualities.items()
    }
    fitted = {place: family.fit(earlier, **family.grid[place]) for place in set(places.values())}
    return {
        repeats: Method(family.label, fitted[place].scores, in_words(family.grid[place]))
        for repeats, place in places.items()
    }


def smoothed(qualities: Sequence[float]) -> NDArray[np.float64]:
    """Each value averaged with its neighbours, itself counting twice; an end stands in for the neighbour it lacks."""
    padded = np.pad(np.array(qualities, dtype=np.float64), 1, mode="edge")
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4


def in_words(settings: Settings) -> str:
    """`half_life=none`, a half-life in days and everything else as it is."""
    return ", ".join(
        f"{name}={'none' if value is None else f'{value / 86_400:.1f} d' if name == 'half_life' else f'{value:g}'}"
        for name, value in settings.items()
    )
