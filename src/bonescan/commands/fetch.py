"""`bonescan fetch`: bone scans from an archive, by DICOMweb."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bonescan.commands.base import (
    DONE,
    NOTHING_DONE,
    SOME_FAILED,
    Command,
    Console,
    add_json,
    add_out,
    count,
    needs_extra,
    path,
)
from bonescan.errors import BonescanError, InputError


@dataclass(frozen=True, slots=True)
class Fetch(Command):
    """Fetch nuclear medicine images from an archive by DICOMweb."""

    url: str
    out: Path
    study: tuple[str, ...]
    date: str | None
    patient_ids: Path | None
    limit: int
    auth: Literal["none", "basic", "bearer"]
    secret_env: str
    ca_file: str
    timeout: int
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument("url", metavar="URL", help="the archive's DICOMweb service, as https://archive/dicom-web")
        add_out(parser, "the folder to write into, one folder per study; existing files are not fetched again")
        parser.add_argument("--study", nargs="+", default=[], metavar="UID", help="these studies")
        parser.add_argument("--date", type=_date, metavar="FROM-TO", help="studies of these days, as 20240101-20241231")
        parser.add_argument(
            "--patient-ids",
            type=path,
            metavar="FILE",
            help="studies of these patients, one ID per line (a file, as a shell's history keeps its commands)",
        )
        parser.add_argument(
            "--limit", type=count, default=1000, metavar="N", help="the largest number of studies (default: 1000)"
        )
        parser.add_argument(
            "--auth", choices=("none", "basic", "bearer"), default="none", help="how to log in to the archive"
        )
        parser.add_argument(
            "--secret-env", default="", metavar="NAME", help="the environment variable with user:password, or the token"
        )
        parser.add_argument(
            "--ca-file", default="", metavar="PEM", help="the certificate authorities to trust (default: the system's)"
        )
        parser.add_argument(
            "--timeout", type=count, default=60, metavar="SECONDS", help="the longest wait (default: 60)"
        )
        add_json(parser)

    def run(self, console: Console) -> int:
        """Fetch the studies that are found; a study that fails is named, and does not stop the others."""
        with needs_extra("node"):
            from bonescan.node.destinations import WebPeer
            from bonescan.node.dicomweb import WebArchive
            from bonescan.node.fetch import Wanted, fetch_study, find_studies
            from bonescan.report.words import counted
        peer = WebPeer(
            "archive", self.url, self.auth, self.secret_env, self.ca_file, timeout_seconds=float(self.timeout)
        )
        if self.auth != "none" and self.url.lower().startswith("http://"):
            secret = "password" if self.auth == "basic" else "token"
            console.note(f"warning: the {secret} is sent unencrypted, as the URL begins with http://: use https://")
        wanted = Wanted(self.study, _lines(self.patient_ids), self.date or "", self.limit)
        done: list[dict[str, Any]] = []
        failures: list[dict[str, Any]] = []
        with WebArchive(peer) as archive, console.progress("studies") as progress:
            studies = find_studies(archive, wanted)
            for number, study in enumerate(studies, start=1):
                try:
                    for one in fetch_study(archive, study, self.out):
                        done.append({"study": one.study, "file": str(one.path), "new": one.new})
                except BonescanError as error:
                    failures.append({"study": number, "error": str(error)})
                    if not self.json:
                        console.error(f"study {number}: {error}")
                progress(number, len(studies))
        if self.json:
            console.out_json({"research_use_only": True, "files": done, "failures": failures})
        else:
            new = sum(one["new"] for one in done)
            console.out(
                f"{counted(len(studies), 'study')}: {counted(new, 'file')} fetched, {len(done) - new} already there, "
                f"in {self.out}"
            )
        return DONE if not failures else SOME_FAILED if done else NOTHING_DONE


def _date(text: str) -> str:
    if not re.fullmatch(r"\d{8}(-\d{8})?|\d{8}-|-\d{8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no range of days: write it as 20240101-20241231")
    first, _, last = text.partition("-")
    if last and first > last:
        raise argparse.ArgumentTypeError(f"{text!r} ends before it begins: write it as {last}-{first}")
    return text


def _lines(file: Path | None) -> tuple[str, ...]:
    """The IDs of a file. Wildcards of DICOM are refused, as they would match other patients."""
    if file is None:
        return ()
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise InputError(f"the file {file} cannot be read: give one with an ID a line") from None
    found = tuple(line for line in lines if line)
    if not found or any("*" in line or "?" in line or "\\" in line for line in found):
        raise InputError(f"the file {file} holds no ID, or one with * or ? in it, which would match other patients")
    return found
