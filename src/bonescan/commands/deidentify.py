"""`bonescan deidentify`: scans without the patient's identity."""

from __future__ import annotations

import argparse
import errno
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bonescan.commands.base import DONE, NOTHING_DONE, SOME_FAILED, Command, Console, add_json, add_out, path
from bonescan.errors import InputError, OptionError, OutputError
from bonescan.system.files import bring_to_disk, remove_left, temporary_for

_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Deidentify(Command):
    """Write scans without the patient's identity, as PS3.15's basic profile asks for."""

    inputs: tuple[Path, ...]
    out: Path
    key_file: Path | None
    accept_burned_in: bool
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument(
            "inputs", type=path, nargs="+", metavar="INPUT", help="DICOM files, or folders that hold some"
        )
        add_out(parser, "the folder to write into: one folder per patient, with one folder per study")
        parser.add_argument(
            "--key-file",
            type=path,
            metavar="FILE",
            help="the secret that pseudonyms are made from, created if it does not exist: with it a patient always "
            "gets the same pseudonym (default: a new secret that is not kept)",
        )
        parser.add_argument(
            "--accept-burned-in",
            action="store_true",
            help="also take images whose header says that they contain text: look at them first",
        )
        add_json(parser)

    def run(self, console: Console) -> int:
        """Write every scan that can be de-identified; the others are named."""
        if self.key_file is not None and self.key_file.resolve().is_relative_to(self.out.resolve()):
            raise OptionError(
                f"the key file {self.key_file} would lie among the scans in {self.out}: keep it elsewhere"
            )
        from bonescan.report.words import counted

        files = _dicom_files(self.inputs, self.out)
        if not files:
            raise InputError("the inputs hold no DICOM file: give files, or a folder that holds some")
        key = secrets.token_bytes(_KEY_BYTES) if self.key_file is None else _key(self.key_file)
        done: list[dict[str, Any]] = []
        failures: list[dict[str, Any]] = []
        with console.progress("files") as progress:
            for number, file in enumerate(files, start=1):
                try:
                    done.append(self._one(file, key))
                except Exception as error:
                    failures.append({"file": str(file), "error": console.explain(error)})
                    if not self.json:
                        console.error(f"{file}: {failures[-1]['error']}")
                else:
                    for remark in done[-1]["remarks"] if not self.json else ():
                        console.note(f"warning: {done[-1]['written']}: {remark}")
                progress(number, len(files))
        if self.json:
            console.out_json({"research_use_only": True, "files": done, "failures": failures})
        else:
            patients = {one["patient"] for one in done}
            if self.key_file is None and done:
                console.note(
                    "no key was kept: the same patient gets another pseudonym next time; give --key-file FILE to keep "
                    "one"
                )
            console.out(f"{counted(len(done), 'file')} of {counted(len(patients), 'patient')} written to {self.out}")
        return DONE if not failures else SOME_FAILED if done else NOTHING_DONE

    def _one(self, file: Path, key: bytes) -> dict[str, Any]:
        from bonescan import sandbox

        scan = sandbox.deidentified(file, key, accept_burned_in=self.accept_burned_in)
        target = self.out / scan.patient / scan.study / f"{scan.image}.dcm"
        _write(scan.content, target)
        return {"patient": scan.patient, "written": str(target), "remarks": list(scan.remarks)}


def _dicom_files(inputs: Sequence[Path], out: Path) -> list[Path]:
    """Return the given files, and those in given folders that have the DICOM marker.

    What an earlier run wrote to the output folder is left out. Raises OptionError for an input that lies there.
    """
    from bonescan.dicom.elements import looks_like_dicom

    written = out.resolve()
    found: list[Path] = []
    for given in inputs:
        if given.resolve().is_relative_to(written):
            raise OptionError(f"the input {given} lies in the output folder {out}: choose another output folder")
        if not given.is_dir():
            found.append(given)
            continue
        for folder, names, files in os.walk(given):
            here = Path(folder)
            names[:] = sorted(
                name for name in names if not name.startswith(".") and not _same_folder(here / name, written)
            )
            paths = [here / name for name in sorted(files) if name.upper() != "DICOMDIR"]
            found += [
                one
                for one in paths
                if one.is_file() and not one.resolve().is_relative_to(written) and looks_like_dicom(one)
            ]
    return list(dict.fromkeys(found))


def _same_folder(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same folder, also on a file system that ignores case."""
    return one.exists() and other.exists() and one.samefile(other)


def _key(file: Path) -> bytes:
    """Read the secret, or make one that only its owner can read."""
    try:
        with suppress(FileExistsError):  # made before, or by another process just now
            _put(f"{secrets.token_hex(_KEY_BYTES)}\n".encode("ascii"), file, mode=0o600)
        stated = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise OptionError(f"the key file {file} cannot be used ({reason}): give another") from None
    if not re.fullmatch(f"[0-9a-f]{{{2 * _KEY_BYTES}}}", stated):
        raise OptionError(f"the key file {file} does not hold {2 * _KEY_BYTES} hexadecimal digits: give another")
    return bytes.fromhex(stated)


def _write(content: bytes, target: Path) -> None:
    """Write a file atomically. An existing file stays; it is an error if it holds something else."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if any(folder.is_symlink() for folder in (target.parent, target.parent.parent, target)):
            raise OutputError(f"{target} leads elsewhere by a symbolic link: choose another folder")
        _put(content, target)
    except FileExistsError:
        if not _holds(target, content):
            raise OutputError(
                f"{target} exists and holds something else, which stays: move it or choose another folder"
            ) from None
    except OSError as error:
        raise OutputError(f"{target} cannot be written ({error.strerror}): choose another folder") from None


def _holds(target: Path, content: bytes) -> bool:
    with suppress(OSError):
        return target.is_file() and target.stat().st_size == len(content) and target.read_bytes() == content
    return False


def _put(content: bytes, target: Path, mode: int = 0o666) -> None:
    """Write a new file atomically and durably. Raises OSError, FileExistsError if there is one of that name."""
    if target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    remove_left(target)
    partial = temporary_for(target)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(partial, target)  # unlike a rename, it never replaces a file that another process put there
        except FileExistsError:
            raise
        except OSError:
            partial.rename(target)  # a file system without hard links
    finally:
        partial.unlink(missing_ok=True)
    bring_to_disk(target.parent)
