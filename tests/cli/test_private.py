"""Files with secrets that are no keys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from smart_async.cli.private import PrivateFile, read_private
from smart_async.errors import ConfigurationError

posix = pytest.mark.skipif(os.name != "posix", reason="needs file modes")


@posix
def test_what_is_written_can_be_read_back_by_its_owner(tmp_path: Path) -> None:
    """The file has mode 0600 whatever the umask, and holds what was written."""
    before = os.umask(0)
    try:
        with PrivateFile(tmp_path / "f", overwrite=False).reserved() as file:
            file.write("text ü")
    finally:
        os.umask(before)
    mode = (tmp_path / "f").stat().st_mode & 0o777
    assert (mode, read_private(tmp_path / "f", field="f")) == (0o600, "text ü")


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_written_leaves_nothing(tmp_path: Path, overwrite: bool) -> None:
    """A block that ends without a result leaves no file, and none that was there is touched."""
    if overwrite:
        (tmp_path / "f").write_text("old")
    with pytest.raises(KeyError), PrivateFile(tmp_path / "f", overwrite=overwrite).reserved():
        raise KeyError
    assert [path.read_text() for path in tmp_path.iterdir()] == (["old"] if overwrite else [])


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be filled is an error, and does not stay."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(ConfigurationError, match="No space left"),
        PrivateFile(tmp_path / "f", overwrite=False).reserved() as file,
    ):
        file.write("x")
    assert list(tmp_path.iterdir()) == []


@posix
def test_links_are_not_written_through(tmp_path: Path) -> None:
    """Neither a new file nor a replaced one is written where a link leads."""
    (tmp_path / "target").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for overwrite in (False, True):
        with (
            pytest.raises(ConfigurationError),
            PrivateFile(tmp_path / "link", overwrite=overwrite).reserved() as file,
        ):
            file.write("x")
    assert (tmp_path / "target").read_text() == "mine"


def test_a_path_that_is_none(tmp_path: Path) -> None:
    """A path with a NUL is refused as one."""
    with pytest.raises(ConfigurationError), PrivateFile(tmp_path / "a\0b", overwrite=False).reserved():
        pass


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620])
def test_what_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    """A file of secrets that is open to others is refused, with the command that closes it."""
    (tmp_path / "f").write_text("x")
    (tmp_path / "f").chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_private(tmp_path / "f", field="f")


@posix
def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    """A folder, a pipe and nothing at all are no files; a pipe does not make anybody wait."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "nothing"):
        with pytest.raises(ConfigurationError):
            read_private(path, field="f")
