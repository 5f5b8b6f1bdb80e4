"""Files and folders that are written completely, or not at all.

What is being written has a hidden name, which says which process of which machine writes it. A process that is killed
leaves it behind; whoever writes to the same place next removes it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

PARTIAL, OLD = "partial", "old"
"""Kinds of temporary names: of what is being written, and of what it replaces."""

_LEFT = re.compile(rf"(?P<process>\d+)-(?P<machine>[0-9a-f]{{8}})-[0-9a-f]{{8}}\.(?P<kind>{PARTIAL}|{OLD})")
_FILES = "files"
"""Stands for the name of a target where files of several names are written."""
_FLUSHES = os.name == "posix"


def temporary_for(target: Path, kind: str = PARTIAL) -> Path:
    """A new hidden name beside `target`, for this process alone. kind: `PARTIAL` or `OLD`."""
    return target.with_name(f".{target.name}.{os.getpid()}-{_machine()}-{secrets.token_hex(4)}.{kind}")


def bring_to_disk(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk. Windows flushes only files that are open for writing."""
    if not _FLUSHES:
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_left(target: Path) -> None:
    """Remove what processes of this machine that were killed have left beside `target` while they wrote it.

    Where one was killed while it replaced `target`, what was there before is put back. What processes that live, or of
    other machines, are writing stays, and so do all other files.
    """
    prefix = f".{target.name}."
    try:
        names = sorted(path.name for path in target.parent.iterdir() if path.name.startswith(prefix))
    except OSError:  # there is no such folder yet
        return
    for name in names:
        made = _LEFT.fullmatch(name.removeprefix(prefix))
        if made is None or made["machine"] != _machine() or _is_alive(int(made["process"])):
            continue
        left = target.with_name(name)
        with suppress(OSError):  # another process does the same
            if made["kind"] == OLD and not target.exists():
                left.rename(target)
            elif left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()


@cache
def _machine() -> str:
    """A mark of this machine and, in a container, of its processes: numbers of processes are unique only among them."""
    try:
        numbered = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        numbered = 0
    return hashlib.sha256(f"{platform.node()} {numbered}".encode()).hexdigest()[:8]


def _is_alive(process: int) -> bool:
    """Whether there is a process of that number; True also where that cannot be asked, as on Windows."""
    if os.name != "posix":
        return True  # os.kill would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def reason_of(error: OSError) -> str:
    """Why a file could not be written, in the system's words.

    pydicom raises such errors anew, without their number and with a traceback in the text.
    """
    known = re.search(r"\[Errno (\d+)\]", str(error))
    return error.strerror or (os.strerror(int(known[1])) if known else str(error).partition("\n")[0])


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which is renamed to `path` when the block ends without an error.

    After an error the temporary file is removed, and a file that was at `path` is as it was.
    """
    remove_left(path)
    temporary = temporary_for(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def files_written_whole(folder: Path) -> Iterator[Path]:
    """Yield a new temporary folder, whose files are moved into `folder` when the block ends without an error.

    Files of other names in `folder` stay. After an error the temporary folder is removed with the folders that were
    made for it, and what was in `folder` is as it was.
    """
    remove_left(folder / _FILES)
    temporary = temporary_for(folder / _FILES)
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for file in sorted(temporary.iterdir()):
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # one of them holds something: the files, or another one's
            for one in made:
                one.rmdir()


@contextmanager
def folder_written_whole(folder: Path, replace: bool = False) -> Iterator[Path]:
    """Yield a new temporary folder beside `folder`, which is renamed to it when the block ends without an error.

    After an error the temporary folder is removed with the folders above that were made for it, and what was at
    `folder` is as it was. A folder that holds files is replaced only with `replace`; otherwise OSError is raised at the
    end.
    """
    remove_left(folder)
    temporary = temporary_for(folder)
    above = [parent for parent in temporary.parents if not parent.exists()]
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if replace:
            put_in_place(temporary, folder)
        else:
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # one of them holds something: the folder, or another one's files
            for parent in above:
                parent.rmdir()


def put_in_place(partial: Path, target: Path) -> None:
    """Rename a folder into place; one that is there is renamed to a hidden name first, and removed at the end.

    No file system renames onto a folder that holds files. After an error, what was at `target` is there again.
    """
    if not target.exists():
        partial.rename(target)
        return
    old = temporary_for(target, OLD)
    try:
        target.rename(old)
        partial.rename(target)
    except BaseException:
        # Also after an interruption between the two renames; after both, the new folder stays.
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
