"""The commands in docs/api.md, run as they stand there."""

from __future__ import annotations

import gzip
import re
import shlex
from itertools import pairwise
from pathlib import Path

from tests.app.api.running import Running

GUIDE = Path(__file__).parents[3] / "docs" / "api.md"


def commands() -> list[list[str]]:
    text = "\n".join(
        re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    )
    words = shlex.split(text, comments=True)
    starts = [place for place, word in enumerate(words) if word == "curl"]
    return [words[start:end] for start, end in zip(starts, [*starts[1:], len(words)], strict=True)]


FILES = {
    "@log.csv": b"user_id,item_id\nada,saucer\nben,saucer\n",
    "@log.ndjson.gz": gzip.compress(b'{"user_id":"ada","item_id":"teapot"}\n{"user_id":"ada"}\n'),
}


def run(service: Running, words: list[str]) -> int:
    (url,) = [word for word in words if word.startswith("localhost:8000/")]
    body: str | bytes | None = words[words.index("-d") + 1] if "-d" in words else None
    if "--data-binary" in words:
        body = FILES[words[words.index("--data-binary") + 1]]
    headers = dict(word.split(": ") for option, word in pairwise(words) if option == "-H")
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if body else "GET"
    path = url.removeprefix("localhost:8000")
    status: int = service.client.request(method, path, content=body, headers=headers).status_code
    return status


def test_the_commands_of_the_guide_work_in_their_order(service: Running) -> None:
    made = commands()
    assert len(made) == 10
    assert [run(service, words) for words in made] == [201, 200, 200, 200, 204, 201, 201, 200, 200, 200]
