"""Files are written completely, or not at all."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.left import POSIX, dead, left_by

from bonescan.system import files
from bonescan.system.files import (
    OLD,
    bring_to_disk,
    folder_written_whole,
    reason_of,
    remove_left,
    temporary_for,
    written_whole,
)


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


KILLED = """
import os, signal, sys
from pathlib import Path
from bonescan.system import files
with getattr(files, sys.argv[1])(Path(sys.argv[2])) as temporary:
    (temporary / "a" if temporary.is_dir() else temporary).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@POSIX
@pytest.mark.parametrize("writer", ["written_whole", "files_written_whole", "folder_written_whole"])
def test_what_a_killed_process_left_is_removed_by_the_next_one_for_the_same_place(tmp_path, writer):
    target = tmp_path / "target"
    done = subprocess.run([sys.executable, "-c", KILLED, writer, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    where = target if writer == "files_written_whole" else tmp_path
    (left,) = where.glob(".*")
    # The next one writes elsewhere, then to the same place.
    with getattr(files, writer)(tmp_path / "other") as temporary:
        (temporary / "a" if temporary.is_dir() else temporary).write_text("all")
    assert left.exists()
    with getattr(files, writer)(target) as temporary:
        (temporary / "a" if temporary.is_dir() else temporary).write_text("all")
    assert list(tmp_path.rglob(".*")) == []
    assert (target if target.is_file() else target / "a").read_text() == "all"


@POSIX
def test_what_a_living_process_or_another_machine_writes_and_all_other_files_stay(tmp_path, monkeypatch):
    target = tmp_path / "set"
    kept = [
        left_by(os.getppid(), target),
        left_by(dead(), tmp_path / "set.2"),
        left_by(dead(), tmp_path / "reset"),
    ]
    for name in (f".set.{dead()}.partial", ".set.notes.partial", f".set.{dead()}-12345678-12345678.partial", ".set"):
        kept.append(tmp_path / name)
        kept[-1].mkdir()
    gone = left_by(dead(), target)
    monkeypatch.setattr(files, "_machine", lambda: "another0")
    kept.append(left_by(dead(), target))
    monkeypatch.undo()
    remove_left(target)
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert not gone.exists()


@POSIX
def test_what_was_there_is_put_back_where_a_process_was_killed_while_it_replaced_it(tmp_path):
    target = tmp_path / "set"
    left_by(dead(), target)
    left_by(dead(), target, OLD)
    remove_left(target)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    left_by(dead(), target, OLD)  # the new one was there already
    (target / "a").write_text("new")
    remove_left(target)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert (target / "a").read_text() == "new"


@POSIX
def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_text("a")
    name = temporary_for(tmp_path / "set").name.replace(f".{os.getpid()}-", f".{dead()}-")
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    remove_left(tmp_path / "set")
    assert (tmp_path / "elsewhere" / "a").exists()
    assert not (tmp_path / name).is_symlink()


def test_where_folders_cannot_be_flushed_nothing_is(tmp_path, monkeypatch):
    """As on Windows, which opens no folder, and flushes no file that was opened for reading."""
    monkeypatch.setattr("bonescan.system.files._FLUSHES", False)
    monkeypatch.setattr("bonescan.system.files.os.open", lambda *_: pytest.fail("opened"))
    bring_to_disk(tmp_path)
