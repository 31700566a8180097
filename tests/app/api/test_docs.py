from __future__ import annotations

import hashlib
import re

import pytest

from app.api.docs import STATIC
from tests.app.api.running import Running


def versions() -> list[tuple[str, str, str]]:
    lines = (STATIC / "VERSIONS").read_text(encoding="utf-8").splitlines()
    return [(sha256, version, name) for sha256, version, name in (line.split() for line in lines if line[0] != "#")]


@pytest.mark.parametrize(("sha256", "version", "name"), versions())
def test_a_third_party_file_is_the_one_that_was_published(sha256: str, version: str, name: str) -> None:
    assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == sha256
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)


def test_every_file_is_either_ours_or_listed_with_its_origin() -> None:
    ours = {"VERSIONS", "docs.html", "docs.js"}
    assert {path.name for path in STATIC.iterdir()} == ours | {name for _, _, name in versions()}


def test_the_page_takes_everything_from_this_service(shared: Running) -> None:
    page = shared.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'self'; ")
    assert "//" not in page.text
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 5
    for link in links:
        assert shared.client.get(f"/{link}").status_code == 200, link


def test_the_page_has_no_inline_script(shared: Running) -> None:
    assert re.findall(r"<script(?![^>]*\bsrc=)", shared.client.get("/docs").text) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/docs/swagger-ui-bundle.js", "text/javascript"),
        ("/docs/swagger-ui.css", "text/css"),
        ("/docs/favicon-32x32.png", "image/png"),
    ],
)
def test_assets_have_the_type_that_nosniff_needs(shared: Running, path: str, kind: str) -> None:
    assert shared.client.get(path).headers["content-type"].startswith(kind)


def test_the_page_is_open_to_read_where_keys_are_needed(shared: Running) -> None:
    for path in ("/docs", "/openapi.json"):
        assert shared.client.get(path, headers={"x-api-key": "wrong"}).status_code == 200
