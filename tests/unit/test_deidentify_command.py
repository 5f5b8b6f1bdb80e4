"""`bonescan deidentify`: a folder for each patient, whole files or none, and the key kept apart."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest
from tests.left import POSIX, dead, left_by
from tests.marked import KEY, scan_of

from bonescan import sandbox
from bonescan.errors import OutputError


def test_the_command_writes_one_folder_a_patient_and_names_what_it_refuses(cli, in_process, tmp_path):
    scan_of(tmp_path / "in")
    (tmp_path / "in" / "broken.dcm").write_bytes((tmp_path / "in" / "scan.dcm").read_bytes()[:900])
    (tmp_path / "in" / "notes.txt").write_text("no DICOM")
    run = cli("deidentify", "in", "-o", "out", "--key-file", "key", "--json", cwd=tmp_path)
    assert run.returncode == 1
    report = json.loads(run.stdout)
    assert [Path(one["file"]).name for one in report["failures"]] == ["broken.dcm"]
    (written,) = (tmp_path / "out").rglob("*.dcm")
    assert written.relative_to(tmp_path / "out").parts[0] == report["files"][0]["patient"]
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    again = in_process("deidentify", "in/scan.dcm", "-o", "out", "--key-file", "key", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert list((tmp_path / "out").rglob("*.dcm")) == [written]
    assert in_process("segment", "out", "-o", "result", cwd=tmp_path).returncode == 0
    other = in_process("deidentify", "in/scan.dcm", "-o", "thrown-away", cwd=tmp_path)
    assert other.returncode == 0
    assert "no key was kept: the same patient gets another pseudonym next time; give --key-file" in other.stderr
    assert "no key was kept" not in again.stderr
    assert report["files"][0]["patient"] not in {path.name for path in (tmp_path / "thrown-away").iterdir()}
    (tmp_path / "key").write_text("short")
    assert in_process("deidentify", "in", "-o", "out", "--key-file", "key", cwd=tmp_path).returncode == 2


@POSIX
def test_what_a_killed_run_left_goes_when_the_same_file_is_written(in_process, tmp_path):
    scan_of(tmp_path / "in")
    left_by(dead(), tmp_path / "key")
    run = in_process("deidentify", "in", "-o", "out", "--key-file", "key", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert list(tmp_path.rglob(".*")) == []


def test_a_link_in_the_output_is_not_followed(in_process, tmp_path):
    (path,) = scan_of(tmp_path / "in")
    name = sandbox.deidentified(path, KEY, accept_burned_in=False).patient
    (tmp_path / "key").write_text(KEY.hex())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(tmp_path / "elsewhere")
    run = in_process("deidentify", "in", "-o", "out", "--key-file", "key", cwd=tmp_path)
    assert run.returncode == 2
    assert "symbolic link" in run.stderr
    assert not list((tmp_path / "elsewhere").rglob("*.dcm"))


def test_what_an_earlier_run_wrote_below_the_input_is_not_read_again(in_process, tmp_path):
    scan_of(tmp_path / "in")
    for _ in range(2):
        run = in_process("deidentify", "in", "-o", "in/out", "--key-file", "key", "--json", cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        assert len(json.loads(run.stdout)["files"]) == 1
    assert len(list((tmp_path / "in" / "out").rglob("*.dcm"))) == 1
    elsewhere = in_process("deidentify", "in", "-o", "out", "--key-file", "key", cwd=tmp_path)
    assert elsewhere.returncode == 1
    assert "de-identified by this program before" in elsewhere.stderr
    for inside in ("in", "in/out", "in/scan.dcm"):
        run = in_process("deidentify", inside, "-o", "in/out" if inside == "in/out" else "in", cwd=tmp_path)
        assert run.returncode == 2
        assert "lies in the output folder" in run.stderr
    (tmp_path / "link").symlink_to(tmp_path / "in" / "out")
    assert in_process("deidentify", "link", "-o", "in/out", cwd=tmp_path).returncode == 2


def test_a_key_among_the_scans_is_refused(in_process, tmp_path):
    scan_of(tmp_path / "in")
    run = in_process("deidentify", "in", "-o", "out", "--key-file", "out/key", cwd=tmp_path)
    assert run.returncode == 2
    assert "keep it elsewhere" in run.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_with_other_content_stays(in_process, tmp_path):
    scan_of(tmp_path / "in")
    arguments = ("deidentify", "in", "-o", "out", "--key-file", "key")
    assert in_process(*arguments, cwd=tmp_path).returncode == 0
    (written,) = (tmp_path / "out").rglob("*.dcm")
    before = written.stat()
    assert in_process(*arguments, cwd=tmp_path).returncode == 0
    assert (written.stat().st_ino, written.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    for other in (b"mine", written.read_bytes()[:-1] + b"\7"):
        written.write_bytes(other)
        run = in_process(*arguments, cwd=tmp_path)
        assert run.returncode == 2
        assert "holds something else" in run.stderr
        assert written.read_bytes() == other
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == [written.name]


@pytest.mark.parametrize("links", [True, False])
def test_writing_leaves_a_whole_file_or_none(links, tmp_path, monkeypatch):
    from bonescan.commands import deidentify as command

    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "p" / "s" / "i.dcm"
    command._write(b"one", target)
    command._write(b"one", target)
    with pytest.raises(OutputError, match="holds something else"):
        command._write(b"two", target)
    assert target.read_bytes() == b"one"
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match="cannot be written"):
        command._write(b"three", target.with_name("j.dcm"))
    assert [path.name for path in target.parent.iterdir()] == ["i.dcm"]
