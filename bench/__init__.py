"""Programs that measure; no part of the tests. Run one with `python -m bench.NAME --data DIR`."""
