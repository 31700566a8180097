"""Dependencies point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LEAVES = {
    "app.clock",
    "app.errors",
    "app.ids",
    "app.logs",
    "app.memory",
    "app.metrics",
    "app.plain_words",
    "app.rate_limit",
    "app.security",
    "app.settings",
    "app.threads",
    "app.version",
}
MAY_IMPORT = {
    "model": set[str](),
    "migrations": {"app.db.tables"},
    "app.clock": set[str](),
    "app.errors": set[str](),
    "app.ids": set[str](),
    "app.plain_words": {"app.errors"},
    "app.version": set[str](),
    "app.settings": {"app.db.url", "app.errors"},
    "app.logs": {"app.clock", "app.settings"},
    "app.memory": set[str](),
    "app.metrics": set[str](),
    "app.threads": set[str](),
    "app.strict_json": {"app.errors"},
    "app.rate_limit": {"app.errors"},
    "app.security": {"app.errors", "app.settings"},
    "app.db": LEAVES | {"migrations", "model"},
    "app.interaction_rows": LEAVES | {"app.db", "app.strict_json"},
    "app.quick_rows": LEAVES | {"app.db", "app.interaction_rows"},
    "app.item_rows": LEAVES | {"app.db", "app.interaction_rows"},
    "app.snapshots": LEAVES | {"app.db", "model"},
    "app.live": LEAVES | {"app.db", "app.snapshots", "model"},
    "app.recommend": LEAVES | {"app.live", "model"},
    "app.training": LEAVES | {"app.db", "app.snapshots", "model"},
    "app.readiness": LEAVES | {"app.db"},
    "app.exported": LEAVES | {"app.db"},
    "app.uploads": LEAVES | {"app.db"},
    "app.state": LEAVES | {"app.db", "app.live", "app.readiness", "app.recommend", "app.snapshots", "app.uploads"},
    "app.api": LEAVES
    | {"app.db", "app.interaction_rows", "app.live", "app.readiness", "app.recommend", "app.state", "app.strict_json"}
    | {"app.exported", "app.item_rows", "app.quick_rows", "app.training.config"}
    | {"app.uploads", "model"},
    "app.main": LEAVES
    | {"app.api", "app.db", "app.live", "app.readiness", "app.recommend", "app.snapshots", "app.state", "app.uploads"},
    "app.importing": LEAVES
    | {"app.db", "app.exported", "app.interaction_rows", "app.item_rows", "app.quick_rows", "app.strict_json"},
    "app.demo": LEAVES | {"app.db"},
    "app.web": set[str](),
}
"""What each part may import besides itself. A part that is not named is the outside: processes and commands."""

OUTSIDE = {"app.cli", "app.http_connections", "app.http_protocols", "app.server", "app.child"}


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("app", "model", "migrations"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(name: str) -> str:
    pieces = name.split(".")
    return ".".join(pieces[:2]) if pieces[0] == "app" else pieces[0]


def is_within(name: str, parts: set[str]) -> bool:
    return any(name == part or name.startswith(part + ".") for part in parts)


def test_every_part_has_its_place() -> None:
    parts = {part_of(name) for name, _ in modules()} - {"app"}
    assert parts - MAY_IMPORT.keys() - OUTSIDE == set()


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_a_part_imports_only_what_lies_below_it(part: str) -> None:
    allowed = MAY_IMPORT[part] | {part}
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules()
        if part_of(name) == part
        for imported in imports(path)
        if imported.split(".")[0] in {"app", "model", "migrations"} and not is_within(imported, allowed)
    ]
    assert wrong == []


def test_nothing_that_serves_imports_the_ways_in() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules()
        if part_of(name) not in {"app.cli"}
        for imported in imports(path)
        if is_within(imported, {"app.cli", "app.demo", "app.importing"}) and part_of(name) != part_of(imported)
    ]
    assert wrong == []


def test_no_module_is_longer_than_three_hundred_lines() -> None:
    long = {name: lines for name, path in modules() if (lines := len(path.read_text().splitlines())) > 300}
    assert long == {}


SERVE_ONE_REQUEST = """
import asyncio, json, sys
from pathlib import Path
from app.main import create_app
from app.settings import Settings

async def ask(app, path):
    incoming, outgoing = asyncio.Queue(), asyncio.Queue()
    lifespan = asyncio.create_task(app({"type": "lifespan", "state": {}}, incoming.get, outgoing.put))
    await incoming.put({"type": "lifespan.startup"})
    assert (await outgoing.get())["type"] == "lifespan.startup.complete"
    sent = []
    async def send(message): sent.append(message)
    async def receive(): return {"type": "http.request", "body": b"", "more_body": False}
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
             "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [],
             "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {}}
    await app(scope, receive, send)
    await incoming.put({"type": "lifespan.shutdown"})
    await lifespan
    return sent[0]["status"]

folder = Path(sys.argv[1])
app = create_app(Settings(database_url=f"sqlite:///{folder}/likewise.db", model_dir=folder / "models"))
status = asyncio.run(ask(app, "/users/ann/recommendations"))
heavy = sorted({"torch", "scipy", "numba", "optuna"} & {name.split(".")[0] for name in sys.modules})
print(json.dumps({"status": status, "heavy": heavy}))
"""


def test_the_process_that_serves_never_imports_what_only_training_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", SERVE_ONE_REQUEST, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == '{"status": 200, "heavy": []}'
