"""What a served benchmark is compared with: the least that FastAPI can do, and the endpoint one would write first.

    python -m bench.serving_rivals bare|bare-post|naive [--items N] [--users N] [--dim N] [--seed N]

Serves on a free port of 127.0.0.1, says where, and logs no requests. Neither asks for a key, knows what a user had, or
learns of anything new.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Sequence

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field


class ListedItem(BaseModel):
    """One line of a list."""

    item_id: str
    rank: int
    score: float


class ItemList(BaseModel):
    """A list."""

    user_id: str
    items: list[ListedItem]


def bare_app() -> FastAPI:
    """`GET /` answers a small dict."""
    app = FastAPI(openapi_url=None)

    @app.get("/", response_model=None)
    async def small() -> dict[str, str]:
        return {"status": "ok"}

    return app


class PostedRow(BaseModel):
    """An interaction, by about the rules of ours."""

    model_config = ConfigDict(extra="forbid")

    user_id: str = Field(min_length=1, max_length=256)
    item_id: str = Field(min_length=1, max_length=256)
    event_type: str = Field("interaction", pattern="^[a-z0-9_.-]{1,64}$")
    value: float = Field(1.0, gt=0, le=1e6)
    timestamp: float | str | None = None
    event_id: str | None = None


def bare_post_app() -> FastAPI:
    """`POST /interactions` validates a row and stores nothing."""
    app = FastAPI(openapi_url=None)

    @app.post("/interactions", status_code=201, response_model=None)
    async def accept(row: PostedRow) -> dict[str, int]:
        return {"accepted": 1 if row.user_id else 0, "duplicates": 0}

    return app


def naive_app(user_vectors: NDArray[np.float32], item_vectors: NDArray[np.float32]) -> FastAPI:
    """`GET /users/user-N/recommendations?limit=`: all scores as one product, the best by argpartition.

    Args:
        user_vectors: of `user-1`, `user-2` and so on, shape (U, D).
        item_vectors: of `item-1`, `item-2` and so on, shape (I, D).
    """
    app = FastAPI(openapi_url=None)
    users = {f"user-{number}": number - 1 for number in range(1, len(user_vectors) + 1)}
    items = [f"item-{number}" for number in range(1, len(item_vectors) + 1)]

    @app.get("/users/{user_id}/recommendations")
    async def recommendations(user_id: str, limit: int = 10) -> ItemList:
        number = users.get(user_id)
        if number is None:
            raise HTTPException(404)
        scores = item_vectors @ user_vectors[number]
        limit = min(limit, len(scores))
        best = np.argpartition(scores, -limit)[-limit:]
        best = best[np.argsort(-scores[best])]
        listed = zip(best.tolist(), scores[best].tolist(), strict=True)
        return ItemList(
            user_id=user_id,
            items=[
                ListedItem(item_id=items[item], rank=rank, score=score) for rank, (item, score) in enumerate(listed, 1)
            ],
        )

    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve one of the two until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m bench.serving_rivals")
    parser.add_argument("rival", choices=("bare", "bare-post", "naive"))
    parser.add_argument("--items", type=int, default=2_000)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    if chosen.rival == "bare":
        app = bare_app()
    elif chosen.rival == "bare-post":
        app = bare_post_app()
    else:
        random = np.random.default_rng(chosen.seed)
        app = naive_app(
            random.standard_normal((chosen.users, chosen.dim), dtype=np.float32),
            random.standard_normal((chosen.items, chosen.dim), dtype=np.float32),
        )
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"{chosen.rival} listens on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)  # noqa: T201 - read by who started it
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
