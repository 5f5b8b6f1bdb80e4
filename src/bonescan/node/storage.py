"""The storage of a node: received objects, studies, results; all names are made by the node.

::

    storage/            readable by the node's user alone
      key               secret from which names are computed, so that a UID cannot be confirmed by hashing it
      spool/            acknowledged, not yet sorted
      studies/<study>/  the objects of one study
      results/<study>/  its results, with the objects to send
      queue.sqlite      the jobs
      dismissed         names of failed jobs that are no longer reported

An object is acknowledged when its bytes and its name are on the disk.
"""

from __future__ import annotations

import fcntl
import filecmp
import hashlib
import hmac
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bonescan.errors import OptionError, OutputError
from bonescan.system.files import bring_to_disk

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_MOST_UID_LETTERS = 64
_PARTIAL = ".partial"
_RETIRED = ".retired-"
_DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class Space:
    """Free space on the disk, and the least with which a node takes objects; MiB."""

    free_megabytes: float
    least_megabytes: int

    @property
    def is_enough(self) -> bool:
        """Whether objects are taken; otherwise all are refused, until there is more space."""
        return self.free_megabytes >= self.least_megabytes

    def __str__(self) -> str:
        return f"{int(self.free_megabytes)} MB free, free_megabytes = {self.least_megabytes}"


class Storage:
    """The folder of one node. `open` it before use; only one process can."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool, self.studies, self.results = (folder / name for name in ("spool", "studies", "results"))
        self._key = b""
        self._lock: int | None = None
        self._naming = threading.Lock()

    def open(self) -> None:
        """Create or open the folder for this process alone, and remove partly written files.

        Raises OptionError where another process has it open, and OutputError where it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.close()
                raise OptionError(f"another node runs in {self.folder}: stop it, or give another storage") from None
            for folder in (self.spool, self.studies, self.results):
                folder.mkdir(exist_ok=True, mode=0o700)
            self._key = _key(self.folder / "key")
            for path in self.spool.glob(f"*{_PARTIAL}"):
                path.unlink()
            for path in self.results.glob(".*"):
                shutil.rmtree(path, ignore_errors=True)
        except OSError as error:
            raise OutputError(f"the storage {self.folder} cannot be used ({error.strerror}): give another") from None

    def is_open(self) -> bool:
        """Tell whether a process has the folder open, this one or another."""
        try:
            probe = os.open(self.folder / "lock", os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(probe)
        return False

    def close(self) -> None:
        """Release the folder for other processes."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def dismissed(self) -> set[str]:
        """The names of the failed jobs that somebody has dismissed."""
        try:
            return set((self.folder / _DISMISSED).read_text(encoding="utf-8").split())
        except FileNotFoundError:
            return set()

    def dismiss(self, names: set[str]) -> None:
        """Store the names of the dismissed jobs, in place of the earlier ones. Raises OutputError."""
        path = self.folder / _DISMISSED
        partial = path.with_name(path.name + _PARTIAL)
        try:
            partial.write_text("".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            raise OutputError(
                f"{path} cannot be written ({error.strerror}): give the user that runs the node"
            ) from None

    def free_megabytes(self) -> float:
        """Free space on the disk, in MiB."""
        return shutil.disk_usage(self.folder).free / 2**20

    def space(self, least_megabytes: int) -> Space:
        """Free space on the disk beside the least with which objects are taken. Raises OSError."""
        return Space(self.free_megabytes(), least_megabytes)

    def instance_name(self, uid: str) -> str | None:
        """Return the name of the file of an instance; None where `uid` is no UID."""
        if len(uid) > _MOST_UID_LETTERS or not _UID.fullmatch(uid):
            return None
        return f"{self._digest('instance', uid)[:40]}.dcm"

    def study_name(self, uid: str) -> str:
        """Return the name of a study."""
        return f"study-{self._digest('study', uid)[:16]}"

    def accept(self, content: bytes, name: str) -> None:
        """Write an object and flush it to disk; of two with the same name the first is kept. Raises OSError."""
        # A random part in the name: two senders of the same object must not write to the same file.
        partial = self.spool / f"{name}.{secrets.token_hex(4)}{_PARTIAL}"
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            with self._naming:
                if (self.spool / name).exists():
                    partial.unlink()
                else:
                    partial.rename(self.spool / name)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        bring_to_disk(self.spool)

    def spooled(self) -> Iterator[Path]:
        """Yield the objects that wait to be sorted, the oldest first."""
        entries = [(entry.stat().st_mtime_ns, entry.path) for entry in os.scandir(self.spool) if _is_object(entry)]
        yield from (Path(path) for _, path in sorted(entries))

    def oldest_spooled(self) -> float | None:
        """Return the arrival time of the oldest object that waits to be sorted, as seconds of the system's clock."""
        return min((entry.stat().st_mtime for entry in os.scandir(self.spool) if _is_object(entry)), default=None)

    def sort(self, path: Path, study: str) -> Literal["new", "same", "other"]:
        """Move an object from the spool to its study, and return "new".

        Where the study has an object of that name, the new one is deleted: "same" or "other" content. Raises OSError;
        the object then stays in the spool.
        """
        folder = self.studies / study
        if not folder.exists():
            folder.mkdir(mode=0o700)
            bring_to_disk(self.studies)
        target = folder / path.name
        if target.exists():
            same = filecmp.cmp(path, target, shallow=False)
            path.unlink()
            return "same" if same else "other"
        path.rename(target)
        bring_to_disk(folder)
        return "new"

    def objects(self, study: str) -> list[Path]:
        """Return the objects of a study, sorted."""
        return sorted((self.studies / study).glob("*.dcm"))

    def study_names(self) -> list[str]:
        """Return the names of all studies, sorted."""
        return sorted(path.name for path in self.studies.iterdir() if path.is_dir() and not path.name.startswith("."))

    def last_change(self, study: str) -> float:
        """Return when something was last added to a study, as seconds of the system's clock."""
        return (self.studies / study).stat().st_mtime

    def content_digest(self, study: str) -> str:
        """Return a hash of the names of a study's objects."""
        return hashlib.sha256("\n".join(path.name for path in self.objects(study)).encode()).hexdigest()[:12]

    def retire(self, study: str) -> None:
        """Hide a study by renaming it, for `remove_retired` to delete. Raises OSError; the study is then unchanged."""
        (self.studies / study).rename(self.studies / f"{_RETIRED}{study}")
        bring_to_disk(self.studies)

    def retired(self) -> list[str]:
        """Return the names of the studies that are retired and not yet deleted."""
        return sorted(path.name.removeprefix(_RETIRED) for path in self.studies.glob(f"{_RETIRED}*"))

    def remove_retired(self, study: str) -> None:
        """Delete a retired study and its results, its objects last. Raises OSError; call it again in that case."""
        for path in self.results.glob(f"{study}-*"):
            shutil.rmtree(path)
        shutil.rmtree(self.studies / f"{_RETIRED}{study}")

    def _digest(self, what: str, of: str) -> str:
        return hmac.new(self._key, f"{what}\0{of}".encode(), hashlib.sha256).hexdigest()


def _is_object(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(".dcm") and entry.is_file(follow_symlinks=False)


def _key(path: Path) -> bytes:
    """Read the secret; where there is none, make one, written completely or not at all."""
    if not path.exists():
        partial = path.with_name(f"{path.name}{_PARTIAL}")
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        bring_to_disk(path.parent)
    return bytes.fromhex(path.read_text(encoding="ascii"))
