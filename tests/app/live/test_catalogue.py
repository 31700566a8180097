"""Names of items, from a snapshot and from what came since."""

from __future__ import annotations

import numpy as np
import pytest

from app.live.catalogue import Catalogue
from model.histories import Histories


def base(*keys: int) -> Histories:
    nothing = np.empty(0, dtype=np.int64)
    return Histories.build(
        nothing,
        nothing,
        event_codes=nothing,
        times_us=nothing,
        values=np.empty(0),
        event_types=(),
        user_ids={},
        item_ids={key: f"item-{key}" for key in keys},
        titles={},
    )


CATALOGUES = {
    "empty": ((), ()),
    "snapshot": ((2, 5, 9), ()),
    "since": ((), (1, 5)),
    "both": ((2, 5, 9), (3, 11)),
}


@pytest.mark.parametrize("name", CATALOGUES)
def test_many_names_at_once_are_those_of_one_at_a_time(name: str) -> None:
    stored, since = CATALOGUES[name]
    catalogue = Catalogue(base(*stored))
    catalogue.name({key: f"item-{key}" for key in since})
    keys = [*range(12), 5, 0]
    assert catalogue.item_ids(np.array(keys, dtype=np.int64)) == [catalogue.item_id(key) for key in keys]
    assert [catalogue.item_id(key) is not None for key in range(12)] == [key in (*stored, *since) for key in range(12)]
    ids = [f"item-{key}" for key in keys]
    found = [catalogue.item_key(item_id) for item_id in ids]
    assert catalogue.item_keys(ids).tolist() == [-1 if key is None else key for key in found]


@pytest.mark.parametrize("name", CATALOGUES)
def test_no_names_at_once_are_none(name: str) -> None:
    catalogue = Catalogue(base(*CATALOGUES[name][0]))
    assert catalogue.item_ids(np.empty(0, dtype=np.int64)) == []
    assert catalogue.item_keys([]).tolist() == []
