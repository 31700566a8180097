"""Many timestamps at once, where they are of one length and in UTC; one by one where they are not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.clock import MICROSECONDS
from app.interaction_rows import timestamp_us

_FIRST_YEAR = 1970
# The places of digits in 2025-01-31T12:00:00.
_DIGITS = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]
_TO_THE_SECOND = 19
_MARKS = ((4, b"-"), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":"))


def times_us(texts: list[str]) -> NDArray[np.int64]:
    """Microseconds since the epoch of RFC 3339 texts, int64, shape (N,).

    Raises: what `timestamp_us` raises of one that is none, or ValueError.
    """
    size = len(texts[0])
    whole = "".join(texts)
    same = len(whole) == size * len(texts) and set(map(len, texts)) == {size}
    if not (same and size > _TO_THE_SECOND and whole.isascii()):
        return np.array([timestamp_us(one) for one in texts], dtype=np.int64)
    bytes_NL = np.frombuffer(whole.encode(), dtype=np.uint8).reshape(len(texts), size)
    fraction_NF = bytes_NL[:, _TO_THE_SECOND + 1 : -1] - ord("0")
    digits_ND = bytes_NL[:, _DIGITS] - ord("0")
    in_form = (
        np.isin(bytes_NL[:, -1], list(b"Zz")).all()
        and all(np.isin(bytes_NL[:, place], list(marks)).all() for place, marks in _MARKS)
        and (digits_ND <= 9).all()
        and (size == _TO_THE_SECOND + 1 or ((bytes_NL[:, _TO_THE_SECOND] == ord(".")).all() and fraction_NF.shape[1]))
        and (fraction_NF <= 9).all()
    )
    if not in_form:
        return np.array([timestamp_us(one) for one in texts], dtype=np.int64)
    digits = digits_ND.astype(np.int64)
    year = digits[:, :4] @ [1000, 100, 10, 1]
    month, day, hour, minute, second = (digits[:, place] * 10 + digits[:, place + 1] for place in range(4, 14, 2))
    months = np.array((year - _FIRST_YEAR) * 12 + month - 1, dtype="datetime64[M]")
    first_day = months.astype("datetime64[D]").astype(np.int64)
    after = (months + 1).astype("datetime64[D]").astype(np.int64)
    days = first_day + day - 1
    right = (year >= _FIRST_YEAR) & (month >= 1) & (month <= 12) & (day >= 1) & (days < after)
    if not (right & (hour < 24) & (minute < 60) & (second < 60)).all():
        raise ValueError("a text names no moment since 1970")
    scale = 10 ** np.arange(5, 5 - min(fraction_NF.shape[1], 6), -1, dtype=np.int64)
    fraction = fraction_NF[:, :6].astype(np.int64) @ scale
    found: NDArray[np.int64] = (days * 86_400 + hour * 3600 + minute * 60 + second) * MICROSECONDS + fraction
    return found
