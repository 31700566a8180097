"""Files of benchmark data, as interactions."""

from __future__ import annotations

import numpy as np
import pytest

from bench.data import DataParser, drawn_users, load, load_split


def write(folder, **columns):
    (folder / "small").mkdir()
    np.savez(folder / "small" / "small.npz", **{name: np.array(column) for name, column in columns.items()})


def test_rows_come_in_the_order_of_time_and_without_gaps_in_the_numbers(tmp_path):
    write(tmp_path, user=[70, 5, 70], item=[9, 9, 2], value=[1.0, 2.0, 3.0], timestamp=[30, 10, 20])

    interactions = load(tmp_path, "small")

    assert interactions.user_ids.tolist() == [0, 1, 1]
    assert interactions.item_ids.tolist() == [1, 0, 1]
    assert interactions.ratings.tolist() == [2, 3, 1]
    assert interactions.timestamps.tolist() == [10, 20, 30]


def test_a_published_split_is_numbered_together(tmp_path):
    write(tmp_path, user=[1, 2, 3], item=[4, 5, 6], split=[0, 2, 0])

    train, test = load_split(tmp_path, "small")

    assert train.user_ids.tolist() == [0, 2]
    assert test.item_ids.tolist() == [1]
    assert train.timestamps is None
    assert (train.num_users, test.num_items) == (3, 3)


def test_a_file_without_a_split_says_so(tmp_path):
    write(tmp_path, user=[1], item=[4])

    with pytest.raises(KeyError, match="small has no split"):
        load_split(tmp_path, "small")


def test_users_are_drawn_with_all_their_rows(tmp_path):
    write(tmp_path, user=[1, 1, 2, 3, 3], item=[4, 5, 6, 4, 5])
    interactions = load(tmp_path, "small")

    drawn = drawn_users(interactions, 2, seed=1)

    users = np.unique(drawn.user_ids)
    assert len(users) == 2
    assert len(drawn) == np.isin(interactions.user_ids, users).sum()
    assert drawn_users(interactions, 3, seed=1) is interactions


def test_a_program_runs_on_each_data_set_of_the_folder_that_has_what_it_needs(tmp_path, capsys):
    write(tmp_path, user=[1], item=[4])
    (tmp_path / "timed").mkdir()
    np.savez(tmp_path / "timed" / "timed.npz", user=[1], item=[4], timestamp=[7])
    (tmp_path / "notes").mkdir()
    np.savez(tmp_path / "notes" / "other.npz", user=[1], item=[4], timestamp=[7])
    parser = DataParser("bench.temporal", ("user", "item", "timestamp"))

    chosen = parser.parse_args(["--data", str(tmp_path)])

    assert parser.names(chosen.data, chosen.name) == ["timed"]
    assert DataParser("bench.fold_in").names(tmp_path, None) == ["small", "timed"]
    assert parser.names(tmp_path, ["small"]) == ["small"]
    with pytest.raises(SystemExit):
        parser.names(tmp_path / "small", None)
    assert "holds no NAME/NAME.npz with user, item, timestamp" in capsys.readouterr().err
