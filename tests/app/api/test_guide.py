"""The commands in docs/api.md, run as they stand there."""

from __future__ import annotations

import re
import shlex
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


def run(service: Running, words: list[str]) -> int:
    (url,) = [word for word in words if word.startswith("localhost:8000/")]
    body = words[words.index("-d") + 1] if "-d" in words else None
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if body else "GET"
    status: int = service.client.request(method, url.removeprefix("localhost:8000"), content=body).status_code
    return status


def test_the_commands_of_the_guide_work_in_their_order(service: Running) -> None:
    made = commands()
    assert len(made) == 7
    assert [run(service, words) for words in made] == [201, 200, 200, 200, 204, 200, 200]
