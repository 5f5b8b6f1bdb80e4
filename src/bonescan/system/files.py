"""Files and folders that are written completely, or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
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
    temporary = folder / f".{os.getpid()}.partial"
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
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    above = [parent for parent in temporary.parents if not parent.exists()]
    shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process of the same number
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if replace:
            put_in_place(temporary, folder, folder.with_name(f".{folder.name}.{os.getpid()}.old"))
        else:
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # one of them holds something: the folder, or another one's files
            for parent in above:
                parent.rmdir()


def put_in_place(partial: Path, target: Path, old: Path) -> None:
    """Rename a folder into place; one that is there is renamed to `old` first, and removed at the end.

    No file system renames onto a folder that holds files. After an error, what was at `target` is there again.
    """
    if not target.exists():
        partial.rename(target)
        return
    try:
        target.rename(old)
        partial.rename(target)
    except BaseException:
        # Also after an interruption between the two renames; after both, the new folder stays.
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
