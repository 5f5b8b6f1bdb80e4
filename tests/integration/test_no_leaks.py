"""No patient marker in anything that a run leaves, words, file names, JSON and pictures; objects in DICOM apart."""

from __future__ import annotations

import os
import shutil
import tempfile

import numpy as np
import pydicom
import pytest
from PIL import Image
from pypdf import PdfReader
from tests.marked import MARK, forms, marked

from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.sandbox import parent
from bonescan.study import Scan, Spacing, Study, View

FORMATS = "json,labels,png,sr,seg,capture,pdf,gsps,labelme,coco"


def scan(folder, *, with_markers):
    """A scan with a hot spot; returns its path and the markers in it."""
    rng = np.random.default_rng(3)
    rows, cols = np.ogrid[:256, :64]
    body = 20.0 * np.exp(-(((rows - 128) / 90) ** 2 + ((cols - 32) / 14) ** 2))
    hot = 120.0 * np.exp(-(((rows - 100) / 3) ** 2 + ((cols - 32) / 3) ** 2))
    study = Study("one", {view: Scan(view, rng.poisson(body + hot)) for view in View}, Spacing(4.0, 4.0))
    folder.mkdir(parents=True)
    (path,) = write_nm(study, folder / "scan.dcm", Header(HeaderStyle.STANDARD))
    return path, marked(path) if with_markers else []


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of our own, home and temporary files included, so that all that a run leaves can be searched."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    # This process and the one that reads files for it may know another folder from earlier tests.
    monkeypatch.setattr(tempfile, "tempdir", None)
    parent.end()
    yield tmp_path
    parent.end()


@pytest.fixture
def said(capfd, caplog):
    """All that was said: of a command in this process also what libraries write to its streams and log."""

    def of(runs):
        return "".join([*(run.stdout + run.stderr for run in runs), *capfd.readouterr(), caplog.text])

    return of


def left_by(here, said, planted, apart=()):
    """Where a marker is: in what was said, in names, and in the bytes of all files but those set apart and DICOM."""
    found = [("said", one) for one in planted if one in said]
    for path in here.rglob("*"):
        if any(folder in path.parents or folder == path for folder in apart):
            continue
        found += [(path.name, one) for one in planted if one in path.name]
        if path.is_file() and path.suffix != ".dcm":
            content = path.read_bytes()
            found += [(path.name, one) for one in planted if any(form in content for form in forms(one))]
    return found


# The date of acquisition is a result's own, and stands in it.
def hidden(planted):
    return [one for one in planted if not one.startswith("194") or one == "19400203"]


def test_no_marker_in_what_the_commands_leave(cli, in_process, said, here):
    _, planted = scan(here / "in", with_markers=True)
    runs = [
        cli("segment", "in", "-o", "out", "--format", FORMATS, cwd=here),
        *(
            in_process(*command, cwd=here)
            for command in (
                ("segment", "in", "-o", "json", "--json"),
                ("--traceback", "segment", "in", "-o", "trace", "--views", "anterior"),
                ("export", "out", "--source", "in", "--format", FORMATS, "-o", "exported"),
                ("import", "out/in/lesions-sr.dcm", "--scan", "in", "-o", "imported", "--reader", "Ada"),
                ("import", "out/in/coco.json", "--scan", "in", "-o", "imported-2", "--reader", "Ada", "--json"),
                ("deidentify", "in", "-o", "nameless", "--json"),
                ("doctor",),
            )
        ),
    ]
    assert [run.returncode for run in runs[:2] + runs[3:7]] == [0] * 6, [run.stderr for run in runs]
    assert left_by(here, said(runs), hidden(planted), apart=[here / "in"]) == []
    nameless = list((here / "nameless").rglob("*.dcm"))
    assert nameless
    assert not any(form in path.read_bytes() for path in nameless for one in planted for form in forms(one))


def test_objects_of_a_deidentified_source_hold_none_either(in_process, here):
    _, planted = scan(here / "in", with_markers=True)
    assert in_process("deidentify", "in", "-o", "nameless", cwd=here).returncode == 0
    run = in_process("segment", "nameless", "-o", "out", "--format", FORMATS, "--identify", cwd=here)
    assert run.returncode == 0, run.stderr
    written = list((here / "out").rglob("*.dcm"))
    assert len(written) >= 4
    for path in written:
        content = path.read_bytes()
        assert not any(form in content for one in planted for form in forms(one)), path.name
        assert pydicom.dcmread(path).PatientIdentityRemoved == "YES"


def test_pictures_are_the_same_whoever_the_patient_is(in_process, here):
    scan(here / "marked" / "s", with_markers=True)
    scan(here / "plain" / "s", with_markers=False)
    for name in ("marked", "plain"):
        assert in_process("segment", name, "-o", f"out-{name}", "--format", "png,capture,pdf", cwd=here).returncode == 0
    one, other = (here / f"out-{name}" / "s" for name in ("marked", "plain"))
    np.testing.assert_array_equal(
        *(np.asarray(Image.open(folder / "overlay.png").convert("RGB")) for folder in (one, other))
    )
    np.testing.assert_array_equal(
        *(pydicom.dcmread(folder / "overlay-capture.dcm").pixel_array for folder in (one, other))
    )
    said = "".join(page.extract_text() for page in PdfReader(one / "report.pdf").pages)
    assert MARK not in said
    named = in_process("segment", "marked", "-o", "named", "--format", "pdf,png", "--identify", cwd=here)
    assert named.returncode == 0, named.stderr
    said = "".join(page.extract_text() for page in PdfReader(here / "named" / "s" / "report.pdf").pages)
    assert MARK in said
    assert (here / "named" / "s" / "overlay.png").read_bytes() != (one / "overlay.png").read_bytes()


def test_no_marker_in_the_errors_of_damaged_files(cli, in_process, said, here):
    path, planted = scan(here / "in", with_markers=True)
    whole = path.read_bytes()
    damaged = here / "damaged"
    damaged.mkdir()
    rng = np.random.default_rng(5)
    last = whole.index(b"\xe0\x7f\x10\x00")
    for number in range(40):
        content = bytearray(whole[: int(rng.integers(200, last))] if number % 2 else whole)
        for place in rng.integers(132, min(last, len(content)), 12):
            content[place] ^= 1 << int(rng.integers(8))
        (damaged / f"{number}.dcm").write_bytes(bytes(content))
    shutil.rmtree(here / "in")
    runs = [
        cli("segment", "damaged", "-o", "out", cwd=here),
        *(
            in_process(*command, cwd=here)
            for command in (
                ("--traceback", "segment", *sorted(damaged.iterdir())[:10], "-o", "out-2", "--json"),
                ("deidentify", "damaged", "-o", "nameless"),
                ("import", *sorted(damaged.iterdir())[:5], "--scan", "damaged", "-o", "imported", "--reader", "a"),
            )
        ),
    ]
    assert runs[0].stderr
    assert left_by(here, said(runs), hidden(planted), apart=[damaged]) == []
    assert os.environ["TMPDIR"].startswith(str(here))
