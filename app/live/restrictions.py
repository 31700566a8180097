"""What keeps items out of lists, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from app.db.items import ItemRecord
from model.item_table import FOREVER_US, ItemTable


class Restrictions:
    """Those of all items, so that a request costs two comparisons a restricted item and no loop.

    Attributes:
        always_off: keys of the items that are hidden or deleted, ascending.
    """

    def __init__(
        self, keys: NDArray[np.int64], off: NDArray[np.bool_], from_us: NDArray[np.int64], until_us: NDArray[np.int64]
    ) -> None:
        self._keys, self._off, self._from_us, self._until_us = keys, off, from_us, until_us
        self.always_off = np.sort(keys[off])

    @classmethod
    def of(cls, records: Mapping[int, ItemRecord], tables: Sequence[ItemTable]) -> Restrictions:
        """What records say, and for the other items tables, the newest first."""
        newer = np.fromiter(records, dtype=np.int64, count=len(records))
        own = [(key, each) for key, record in records.items() if (each := record.restriction) is not None]
        keys = [np.array([key for key, _ in own], dtype=np.int64)]
        off = [np.array([each.off for _, each in own], dtype=np.bool_)]
        from_us = [np.array([each.from_us for _, each in own], dtype=np.int64)]
        until_us = [np.array([each.until_us for _, each in own], dtype=np.int64)]
        for table in tables:
            holds = ~np.isin(table.restricted_keys, newer)
            keys.append(table.restricted_keys[holds])
            off.append(table.restricted_off[holds].astype(np.bool_))
            from_us.append(table.restricted_from_us[holds])
            until_us.append(table.restricted_until_us[holds])
            newer = np.concatenate((newer, table.keys)) if len(tables) > 1 else newer
        return cls(np.concatenate(keys), np.concatenate(off), np.concatenate(from_us), np.concatenate(until_us))

    def withheld(self, now_us: int) -> NDArray[np.int64]:
        """Keys of the items that no list may hold at `now_us`."""
        return self._keys[self._off | (now_us < self._from_us) | (now_us >= self._until_us)]

    def until(self, now_us: int) -> int:
        """Until when `withheld` stays as it is at `now_us`."""
        moments = np.concatenate((self._from_us, self._until_us))
        ahead = moments[moments > now_us]
        return int(ahead.min()) if len(ahead) else FOREVER_US
