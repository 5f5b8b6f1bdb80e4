"""Files and folders that are written completely, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


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
            shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # one of them holds something: the folder, or another one's files
            for parent in above:
                parent.rmdir()
