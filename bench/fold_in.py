"""Users whom a training has not seen, folded in, against a training with them.

    python -m bench.fold_in --data DIR [--name NAME ...] [--draws 5] [--seed 1 ...] [--users N] [--set n_iter=8 ...]

DIR holds NAME/NAME.npz with arrays user and item, and perhaps value and timestamp (rows of a published test are left
out). Of each user a fifth of the items, drawn at random, is to be found, all others are the history. A draw takes two
groups of users out of the training, one to choose the fold-in by and one that is judged. NDCG@20, all items ranked but
the user's own. ``alone`` is the product of the vectors; ``with popularity`` adds beta * log(1 + popularity), beta
chosen on the first group for each. The last column is the time of one user at a time, in numpy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.training import recipe
from app.training.config import TrainingConfig
from app.training.dataset import Pairs
from bench.data import DataParser, load_train, some_rows
from model.evaluation import ItemsByUser, Window
from model.fold_in import FoldIn, FoldInSettings, learnt_map
from model.interactions import Interactions
from model.policy import Learnt, popularity
from model.policy_choice import SHRINKAGES, SOME_BETAS
from model.user_items import UserItems

MAPS = (FoldInSettings("mean"), FoldInSettings("affine"), *(FoldInSettings("whitened", each) for each in SHRINKAGES))
BETAS = (0.0, *SOME_BETAS)
TIMED_USERS = 1_000


class Task(NamedTuple):
    """Histories, what is to be found, and which users were drawn: of each draw two groups."""

    history: Interactions
    window: Window
    groups: list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def task(interactions: Interactions, *, draws: int, most_users: int) -> Task:
    """Split every user's items, and draw the groups, at most a tenth of the users each.

    Raises: ValueError with fewer than ten users who have both.
    """
    generator = np.random.default_rng(0)
    pairs = np.unique(interactions.user_ids.astype(np.int64) * interactions.num_items + interactions.item_ids)
    users, items = pairs // interactions.num_items, pairs % interactions.num_items
    found = generator.random(len(pairs)) < 0.2
    shape = {"num_users": interactions.num_users, "num_items": interactions.num_items}
    history = Interactions(users[~found], items[~found], **shape)
    known, wanted = (
        ItemsByUser.from_pairs(users[part], items[part], num_users=interactions.num_users) for part in (~found, found)
    )
    judged = np.flatnonzero((np.diff(known.indptr) > 0) & (np.diff(wanted.indptr) > 0))
    size = min(most_users, len(judged) // 10)
    if size < 1:
        raise ValueError(f"{len(judged)} users have items to learn from and others to find; 10 are needed at least")
    drawn = [generator.permutation(judged)[: 2 * size] for _ in range(draws)]
    window = Window(judged, known, wanted.of_each(judged), interactions.num_items)
    return Task(history, window, [(np.sort(each[:size]), np.sort(each[size:])) for each in drawn])


def fitted(history: Interactions, config: TrainingConfig) -> Learnt:
    """The service's fit, of a history in which some users may have nothing."""
    numbered = Pairs(
        np.arange(history.num_users),
        np.arange(history.num_items),
        history.user_ids,
        history.item_ids,
        np.ones(len(history), dtype=np.float32),
    )
    return recipe.fit(
        numbered,
        config,
        epochs=recipe.epochs(len(numbered), config),
        device="cpu",
        seconds=float("inf"),
        on_epoch=lambda epoch, loss: None,  # noqa: ARG005 - nobody watches
        check=lambda: None,
    ).learnt


class Judge(NamedTuple):
    """NDCG@20 of one group of users under vectors and a weight of popularity."""

    window: Window
    learnt: Learnt
    log_popularity: NDArray[np.float32]

    def ndcg(self, vectors_UD: NDArray[np.float32], beta: float) -> float:
        """The mean over the group; vectors by user number."""
        added_I = self.learnt.item_biases + np.float32(beta) * self.log_popularity
        items_DI = self.learnt.item_vectors.T
        return float(self.window.ndcg(lambda users: vectors_UD[users] @ items_DI + added_I).mean())


def compared(of: Task, retrained: Learnt, draw: int, config: TrainingConfig) -> tuple[float, float, FoldInSettings]:
    """Folded in over retrained, alone and with popularity, and the map that was chosen alone."""
    chosen_by, judged = of.groups[draw]
    others = ~np.isin(of.history.user_ids, np.concatenate([chosen_by, judged]))
    rest = some_rows(of.history, others)
    learnt = fitted(rest, config)
    histories, logs_I = UserItems.of(of.history), np.log1p(popularity(rest, None)).astype(np.float32)
    known = UserItems.of(rest)
    vectors = [
        learnt_map(each, learnt.item_vectors, known, user_vectors=learnt.user_vectors).user_vectors(
            learnt.item_vectors, histories
        )
        for each in MAPS
    ]
    choosing, judging = (of.window.take(np.searchsorted(of.window.users, users)) for users in (chosen_by, judged))
    ratios = []
    for betas in ((0.0,), BETAS):
        options = [(each, beta) for each in range(len(MAPS)) for beta in betas]
        by_group = Judge(choosing, learnt, logs_I)
        place, beta = max(options, key=lambda option: by_group.ndcg(vectors[option[0]], option[1]))
        ours = Judge(judging, learnt, logs_I).ndcg(vectors[place], beta)
        with_them = Judge(choosing, retrained, logs_I)
        beta = max(betas, key=lambda each: with_them.ndcg(retrained.user_vectors, each))
        ratios.append(ours / Judge(judging, retrained, logs_I).ndcg(retrained.user_vectors, beta))
        if betas == (0.0,):
            alone = MAPS[place]
    return ratios[0], ratios[1], alone


def microseconds(fold_in: FoldIn, learnt: Learnt, histories: UserItems) -> float:
    """The median time of one user's vector."""
    users = np.flatnonzero(histories.sizes)[:TIMED_USERS]
    spent = []
    for user in users.tolist():
        own = slice(histories.indptr[user], histories.indptr[user + 1])
        items, weights = histories.items[own], histories.weights[own]
        started = time.perf_counter()
        fold_in.user_vector(learnt.item_vectors, items, weights)
        spent.append(time.perf_counter() - started)
    return 1e6 * float(np.median(spent))


def lines(name: str, of: Task, *, seeds: Sequence[int], changed: dict[str, Any]) -> Iterator[str]:
    """One row of the table, and before it one for each draw and seed."""
    found: list[tuple[float, float]] = []
    spent = 0.0
    for seed in seeds:
        config = TrainingConfig(**changed, seed=seed)
        retrained = fitted(of.history, config)
        histories = UserItems.of(of.history)
        for draw in range(len(of.groups)):
            alone, popular, chosen = compared(of, retrained, draw, config)
            found.append((alone, popular))
            told = f"{alone:.3f}, {popular:.3f} ({chosen.kind} {chosen.shrinkage:g})"
            yield f"- {name}, seed {seed}, draw {draw + 1}: {told}"
        fold_in = learnt_map(MAPS[-1], retrained.item_vectors, histories, user_vectors=retrained.user_vectors)
        spent = microseconds(fold_in, retrained, histories)
    generator = np.random.default_rng(0)
    drawn = np.array(found)[generator.integers(0, len(found), (10_000, len(found)))].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    cells = [f"{mean:.1%} ({a:.1%} to {b:.1%})" for mean, a, b in zip(np.mean(found, axis=0), low, high, strict=True)]
    yield f"| {name} | {len(of.groups[0][1])} | {' | '.join(cells)} | {spent:.0f} us |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print rows as soon as they are known."""
    parser = DataParser("bench.fold_in")
    parser.add_argument("--draws", type=int, default=5, help="groups of users that are left out, one after another")
    parser.add_argument("--seed", action="append", type=int, help="may be repeated; default: 1 2 3")
    parser.add_argument("--users", type=int, default=2_500, help="at most so many users in a group")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON", help="a constant of the recipe")
    chosen = parser.parse_args(arguments)
    changed = {name: json.loads(value) for name, value in (each.split("=", 1) for each in chosen.set)}
    print("| data | users judged | alone | with popularity | one user |\n|---|---|---|---|---|")  # noqa: T201 - the output
    for name in parser.names(chosen.data, chosen.name):
        of = task(load_train(chosen.data, name), draws=chosen.draws, most_users=chosen.users)
        for line in lines(name, of, seeds=chosen.seed or (1, 2, 3), changed=changed):
            print(line, flush=True)  # noqa: T201 - the output


if __name__ == "__main__":
    main()
