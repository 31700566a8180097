from __future__ import annotations

from app.db import models, trainings
from app.db.engine import Store
from app.db.watermark import Watermark


def publish(store: Store, folder: str) -> int:
    with store.write() as connection:
        trainings.queue(connection, "api", now_us=1)
        claimed = trainings.claim(connection, "t", now_us=2, lease_us=10)
        assert claimed is not None
        version = trainings.publish(
            connection,
            claimed,
            now_us=3,
            folder=folder,
            manifest_sha256="00",
            metrics={},
            config={},
            watermark=Watermark(1, 0, None),
            users=1,
            items=2,
            rows=3,
            seed=None,
        )
        trainings.finish(connection, claimed, "succeeded", now_us=4)
    return version


def test_before_the_first_version_there_is_none(store: Store) -> None:
    with store.read() as connection:
        assert models.active(connection) is None
        assert models.get(connection, 1) is None
        assert models.page(connection, limit=5) == []
        assert models.pointer(connection) == (None, False)


def test_versions_are_found_by_number_and_in_pages_the_newest_first(store: Store) -> None:
    versions = [publish(store, f"f{n}") for n in range(4)]
    with store.read() as connection:
        first = models.page(connection, limit=3)
        second = models.page(connection, limit=3, before=first[-1].version)
        found = models.get(connection, versions[1])
        assert models.pointer(connection) == (versions[-1], False)
    assert [one.version for one in [*first, *second]] == versions[::-1]
    assert found is not None
    assert (found.folder, found.seed, found.watermark) == ("f1", None, Watermark(1, 0, None))
