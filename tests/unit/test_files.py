"""Files are written completely, or not at all."""

import errno
import os
from pathlib import Path

import pytest

from bonescan.system.files import folder_written_whole, reason_of, written_whole


def test_a_file_takes_the_place_of_the_one_before_when_all_is_written(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("before")
    with written_whole(path) as temporary:
        temporary.write_text("after")
        assert path.read_text() == "before"
        assert temporary.parent == tmp_path, "renaming is atomic only within a file system"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]
    assert path.read_text() == "after"


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "report.json"
    path.write_text("before")
    with pytest.raises(error), written_whole(path) as temporary:
        temporary.write_text("af")
        raise error
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]
    assert path.read_text() == "before"


def test_a_folder_appears_only_when_it_is_complete(tmp_path):
    with folder_written_whole(tmp_path / "new") as partial:
        (partial / "a").write_text("a")
        assert not (tmp_path / "new").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert (tmp_path / "new" / "a").read_text() == "a"


def test_a_failure_leaves_the_folder_that_was_there(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a").write_text("old")
    with pytest.raises(RuntimeError), folder_written_whole(tmp_path / "old", replace=True) as partial:
        (partial / "a").write_text("half")
        raise RuntimeError("stopped")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old" / "a").read_text() == "old"


def test_a_folder_that_holds_files_is_replaced_only_on_request(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a").write_text("old")
    with pytest.raises(OSError, match="not empty"), folder_written_whole(tmp_path / "old") as partial:
        (partial / "b").write_text("new")
    assert (tmp_path / "old" / "a").read_text() == "old"
    with folder_written_whole(tmp_path / "old", replace=True) as partial:
        (partial / "b").write_text("new")
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["b"]


def test_a_failure_leaves_no_folder_above_that_was_made_for_it(tmp_path):
    (tmp_path / "there").mkdir()
    for above in ("there", "new"):
        with pytest.raises(RuntimeError), folder_written_whole(tmp_path / above / "and" / "last"):
            raise RuntimeError("stopped")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
    with pytest.raises(RuntimeError), folder_written_whole(tmp_path / "shared" / "last"):
        (tmp_path / "shared" / "other").touch()
        raise RuntimeError("stopped")
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["other"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(
            f"With tag (7FE0,0010) got exception: [Errno {errno.ENOSPC}] no space\nTraceback (most recent call last):"
        ),
    ],
)
def test_the_reason_is_the_systems_and_no_traceback(error):
    assert reason_of(error) == os.strerror(errno.ENOSPC)


def test_a_reason_without_a_number_is_its_first_line():
    assert reason_of(OSError("the file is closed\nTraceback")) == "the file is closed"


def test_a_folder_that_cannot_be_renamed_into_place_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a").write_text("old")
    rename = Path.rename

    def refuse(path, target):
        if path.name.endswith(".partial"):
            raise OSError(errno.EIO, "broken")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="broken"), folder_written_whole(tmp_path / "old", replace=True) as partial:
        (partial / "a").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old" / "a").read_text() == "old"
