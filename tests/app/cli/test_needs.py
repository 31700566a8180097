from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.cli.needs import check_model_dir, make_model_dir
from app.errors import ConfigurationError
from app.settings import Settings
from tests.command_line import CommandLine

# Real processes, or real waiting: too long for the fast suite.
pytestmark = pytest.mark.slow


def settings_of(folder: Path) -> Settings:
    return Settings(model_dir=folder)


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("name", ["file", "file/models", "file/a/b/models", "loop"])
def test_a_model_folder_that_can_be_none_is_refused(tmp_path: Path, name: str, written: bool) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(
        ConfigurationError, match=r"^LIKEWISE_MODEL_DIR is wrong: the folder [^\n]+ cannot be used: [^\n]+$"
    ):
        check_model_dir(settings_of(tmp_path / name), written=written)


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("name", [".", "models", "a/b/models"])
def test_a_model_folder_that_is_there_or_can_be_made_is_left_as_it_is(tmp_path: Path, name: str, written: bool) -> None:
    check_model_dir(settings_of(tmp_path / name), written=written)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "denied", "written", "said"),
    [
        (".", os.W_OK, True, "it cannot be written"),
        (".", os.W_OK, False, None),
        (".", os.R_OK, False, "it cannot be read"),
        ("models", os.W_OK, True, "so it cannot be made there"),
        ("models", os.W_OK, False, None),
    ],
)
def test_who_writes_needs_to_write_and_who_serves_needs_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, denied: int, written: bool, said: str | None
) -> None:
    # Whoever runs the tests may be one whom no permission stops.
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & denied)
    if said is None:
        check_model_dir(settings_of(tmp_path / name), written=written)
        return
    with pytest.raises(ConfigurationError, match=said):
        check_model_dir(settings_of(tmp_path / name), written=written)


def test_a_model_folder_that_cannot_be_made_after_all_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"LIKEWISE_MODEL_DIR is wrong: .* it cannot be made: "):
        make_model_dir(settings_of(Path("/proc/likewise/models")))


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["trainer"], ["train"], ["recommend", "ann"], ["demo"]])
def test_every_command_that_needs_the_model_folder_says_so_in_one_line(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").write_text("")
    done = CommandLine(tmp_path, {"LIKEWISE_MODEL_DIR": "file/models"}).run(*command)
    assert (done.returncode, done.stdout) == (78, "")
    assert len(done.stderr.splitlines()) == 1
    assert "LIKEWISE_MODEL_DIR is wrong" in done.stderr


def test_a_process_that_only_serves_starts_before_there_is_a_model_folder(tmp_path: Path) -> None:
    likewise = CommandLine(tmp_path, {"LIKEWISE_MODEL_DIR": "later", "LIKEWISE_TRAINER": "external"})
    with likewise.running("serve", "--port", "0") as process:
        assert process.address()
        assert process.stop() == 0, process.log()
    assert not (tmp_path / "later").exists()


NO_CUDA = {"LIKEWISE_DEVICE": "cuda", "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.parametrize("command", ["train", "trainer"])
def test_a_device_that_is_not_there_is_one_line(tmp_path: Path, command: str) -> None:
    done = CommandLine(tmp_path, NO_CUDA).run(command)
    assert (done.returncode, done.stdout) == (78, "")
    assert len(done.stderr.splitlines()) == 1
    assert "LIKEWISE_DEVICE is wrong" in done.stderr


def test_serving_goes_on_without_a_trainer_whose_device_is_not_there(tmp_path: Path) -> None:
    with CommandLine(tmp_path, NO_CUDA).running("serve", "--port", "0") as process:
        process.address()
        process.wait_for("trainer_not_started")
        assert not process.ended()
        assert process.log().count("LIKEWISE_DEVICE is wrong") == 1
        assert process.stop() == 0, process.log()
