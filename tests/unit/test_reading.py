"""Inputs of all kinds become studies with safe, unique names, and what cannot be read says why."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.drawn import a_study

from bonescan.dicom.read import read_dicom
from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.errors import BonescanError, InputError
from bonescan.reading import ReadOptions, discover, read_files, read_studies, read_study
from bonescan.reading.inputs import safe_name
from bonescan.study import Spacing, Study, View


def write_pngs(folder: Path, study: Study, views=tuple(View)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for view in views:
        Image.fromarray(study.counts(view).astype(np.uint16)).save(folder / f"{view}.png")


def keys(*paths: Path) -> list[str]:
    return [files.key for files in discover(paths)]


class TestDiscover:
    def test_a_file_is_named_after_itself(self, tmp_path):
        write_nm(a_study("a"), tmp_path / "Müller scan.dcm")
        assert keys(tmp_path / "Müller scan.dcm") == ["Müller_scan"]

    def test_files_without_an_ending_keep_their_whole_name(self, tmp_path):
        write_nm(a_study("a"), tmp_path / "1.2.840.7")
        assert keys(tmp_path / "1.2.840.7") == ["1.2.840.7"]
        assert keys(tmp_path) == [safe_name(tmp_path.name)]
        assert read_study(tmp_path).shape == (256, 64)

    def test_a_cohort_names_each_study_by_its_folders(self, tmp_path):
        for patient, style in (("p1", HeaderStyle.GE), ("p2", HeaderStyle.TWO_FILES)):
            folder = tmp_path / patient / "s1"
            folder.mkdir(parents=True)
            write_nm(a_study(patient), folder / "scan.dcm", Header(style))
            (folder / "anterior.json").write_text("{}")
            np.savez(folder / "truth.npz", x=np.zeros(3))
        write_pngs(tmp_path / "p3" / "s1", a_study("p3"))
        (tmp_path / "lesions.csv").write_text("a,b")
        found = discover([tmp_path])
        assert [files.key for files in found] == ["p1-s1", "p2-s1", "p3-s1"]
        assert [files.kind for files in found] == ["dicom", "dicom", "png"]
        assert [len(files.paths) for files in found] == [1, 2, 2]

    def test_several_studies_in_one_folder(self, tmp_path):
        write_nm(a_study("a"), tmp_path / "a.dcm")
        write_nm(a_study("b"), tmp_path / "b")
        pair = tmp_path / "pair"
        pair.mkdir()
        first, second = write_nm(a_study("c"), pair / "x.dcm", Header(HeaderStyle.TWO_FILES))
        first.rename(tmp_path / "c_1.dcm")
        second.rename(tmp_path / "c_2.dcm")
        pair.rmdir()
        assert keys(tmp_path) == ["a", "b", "c"]

    def test_names_that_clash_get_their_folder_in_front_then_a_number(self, tmp_path):
        for name in ("p1", "p2"):
            (tmp_path / name).mkdir()
            write_nm(a_study(name), tmp_path / name / "scan.dcm")
        assert keys(tmp_path / "p1" / "scan.dcm", tmp_path / "p2" / "scan.dcm") == ["p1-scan", "p2-scan"]
        same = tmp_path / "p1" / "scan.dcm"
        assert keys(same, same) == ["p1-scan", "p1-scan-2"]

    def test_namesakes_get_as_many_folders_as_tell_them_apart(self, tmp_path):
        """`segment cohort/*/study` and `segment cohort/*/study/scan.dcm`, as a shell writes them out."""
        folders = [tmp_path / patient / "study" for patient in ("p1", "p2")]
        for folder in folders:
            folder.mkdir(parents=True)
            write_nm(a_study(folder.parent.name), folder / "scan.dcm")
        assert keys(*folders) == ["p1-study", "p2-study"]
        assert keys(*(folder / "scan.dcm" for folder in folders)) == ["p1-study-scan", "p2-study-scan"]
        assert keys(tmp_path, *folders) == ["p1-study", "p2-study", "p1-study-2", "p2-study-2"]

    def test_pictures_beside_a_scan_are_not_another_scan(self, tmp_path):
        """LabelMe draws on anterior.png and writes anterior.json: such a display copy of 8 bits is no scan."""
        (tmp_path / "dicom").mkdir()
        write_nm(a_study("a"), tmp_path / "dicom" / "scan.dcm")
        np.savez(tmp_path / "dicom" / "scan.npz", anterior=np.ones((256, 64), np.uint16))
        (tmp_path / "npz").mkdir()
        (tmp_path / "dicom" / "scan.npz").rename(tmp_path / "npz" / "scan.npz")
        for kind in ("dicom", "npz"):
            for view in View:
                Image.fromarray(np.full((256, 64), 7, np.uint8)).save(tmp_path / kind / f"{view}.png")
        write_pngs(tmp_path / "png", a_study("p"))
        assert [(files.key, files.kind) for files in discover([tmp_path])] == [
            ("dicom", "dicom"),
            ("npz", "npz"),
            ("png", "png"),
        ]

    def test_explicit_pair_is_one_study(self, tmp_path):
        folder = tmp_path / "case 7"
        folder.mkdir()
        study = a_study("c")
        files = write_nm(study, folder / "scan.dcm", Header(HeaderStyle.TWO_FILES))
        assert [path.name for path in files] == ["anterior.dcm", "posterior.dcm"]
        assert keys(*files) == ["case_7"]
        back = read_study([str(files[1]), files[0]])
        np.testing.assert_array_equal(back.counts(View.POSTERIOR), study.counts(View.POSTERIOR))

    def test_single_views_of_different_studies_stay_apart(self, tmp_path):
        for name in "ab":
            (tmp_path / name).mkdir()
        first = write_nm(a_study("a"), tmp_path / "a" / "scan.dcm", Header(HeaderStyle.TWO_FILES))[0]
        second = write_nm(a_study("b"), tmp_path / "b" / "scan.dcm", Header(HeaderStyle.TWO_FILES))[1]
        assert len(discover([first, second])) == 2

    def test_three_single_views_of_a_study_are_refused(self, tmp_path):
        files = write_nm(a_study("a"), tmp_path / "scan.dcm", Header(HeaderStyle.TWO_FILES))
        (tmp_path / "third.dcm").write_bytes(files[0].read_bytes())
        with pytest.raises(InputError, match="3 files of 1, 1, 1 frames"):
            read_study(tmp_path)

    def test_other_images_of_a_study_are_passed_over(self, tmp_path):
        import pydicom

        [path] = write_nm(a_study("a"), tmp_path / "scan.dcm")
        static = pydicom.dcmread(path)
        static.ImageType = ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]
        static.save_as(tmp_path / "a_static.dcm")
        assert [files.paths for files in discover([tmp_path])] == [(path,)]
        path.unlink()
        with pytest.raises(InputError, match="STATIC"):
            read_study(tmp_path)

    def test_folder_without_a_scan(self, tmp_path):
        (tmp_path / "notes.txt").write_text("nothing")
        (tmp_path / "README").write_text("nothing")
        with pytest.raises(InputError, match="holds no scan"):
            read_study(tmp_path)


class TestReadStudies:
    def test_the_others_go_on(self, tmp_path):
        write_nm(a_study("a"), tmp_path / "a.dcm")
        (tmp_path / "b.dcm").write_bytes(b"")
        (tmp_path / "c.dcm").write_bytes(b"not a scan" * 100)
        write_nm(a_study("d"), tmp_path / "d.dcm")
        content = (tmp_path / "d.dcm").read_bytes()
        (tmp_path / "e.dcm").write_bytes(content[: len(content) // 2])
        found = dict(read_studies([tmp_path]))
        assert list(found) == ["a", "b", "c", "d", "e"]
        assert isinstance(found["a"], Study)
        assert isinstance(found["d"], Study)
        assert "is empty" in str(found["b"])
        assert "not a DICOM file" in str(found["c"])
        assert "truncated or damaged" in str(found["e"])
        assert all(isinstance(found[key], InputError) for key in "bce")

    def test_missing_path(self, tmp_path):
        [(key, error)] = read_studies([tmp_path / "absent.dcm"])
        assert key == "absent"
        assert "does not exist" in str(error)

    def test_read_study_wants_one(self, tmp_path):
        write_nm(a_study("a"), tmp_path / "a.dcm")
        write_nm(a_study("b"), tmp_path / "b.dcm")
        with pytest.raises(InputError, match="holds 2 studies"):
            read_study(tmp_path)
        with pytest.raises(InputError, match="no input"):
            read_study([])

    def test_every_truncation_of_the_header_is_one_error(self, tmp_path):
        [path] = write_nm(a_study("a"), tmp_path / "a.dcm")
        content = path.read_bytes()
        for cut in range(0, len(content), 97):
            path.write_bytes(content[:cut])
            with pytest.raises(InputError) as refusal:
                read_study(path)
            assert "\n" not in str(refusal.value)

    def test_a_broken_reader_becomes_one_typed_error_without_the_values(self, tmp_path, monkeypatch):
        [path] = write_nm(a_study("a"), tmp_path / "a.dcm")

        def explode(*_args: object) -> None:
            raise KeyError("DOE^JOHN")

        monkeypatch.setattr("bonescan.dicom.read.tell_views", explode)
        with pytest.raises(InputError, match=r"damaged and cannot be read \(KeyError\)") as refusal:
            read_dicom([path], "a", ReadOptions())  # in this process, where it was made to break
        assert refusal.value.__cause__ is None
        assert "DOE" not in str(refusal.value)


class TestPng:
    def test_pair_with_the_cohorts_spacing(self, tmp_path):
        study = a_study("p")
        write_pngs(tmp_path / "p1" / "s1", study)
        (tmp_path / "cohort.toml").write_text("spacing_mm = [2.26, 2.3]\n")
        back = read_study(tmp_path / "p1" / "s1")
        assert (back.key, back.spacing, back.warnings) == ("s1", Spacing(2.26, 2.3), ())
        for view in View:
            np.testing.assert_array_equal(back.counts(view), study.counts(view))

    def test_two_files_given_one_by_one(self, tmp_path):
        write_pngs(tmp_path / "s9", a_study("p"))
        assert keys(tmp_path / "s9" / "posterior.png", tmp_path / "s9" / "anterior.png") == ["s9"]

    @pytest.mark.parametrize(
        "options", [ReadOptions(views=(View.POSTERIOR, View.ANTERIOR)), ReadOptions(frames=(1, 2))]
    )
    def test_stated_views_are_never_dropped_in_silence(self, tmp_path, options):
        study = a_study("p")
        write_pngs(tmp_path, study)
        back = read_study(tmp_path, options)
        assert any("were not used" in warning for warning in back.warnings)
        np.testing.assert_array_equal(back.counts(View.ANTERIOR), study.counts(View.ANTERIOR))
        assert not any("were not used" in warning for warning in read_study(tmp_path, ReadOptions()).warnings)

    def test_one_file_alone_and_no_spacing(self, tmp_path):
        write_pngs(tmp_path, a_study("p"), [View.POSTERIOR])
        back = read_study(tmp_path / "posterior.png")
        assert back.spacing is None
        assert "the anterior view is missing" in back.warnings
        assert back.spacing_note in back.warnings

    @pytest.mark.parametrize(
        ("toml", "reason"), [("spacing_mm = 'two'", "not a number"), ("spacing_mm = [", "not valid TOML")]
    )
    def test_broken_cohort_file(self, tmp_path, toml, reason):
        write_pngs(tmp_path, a_study("p"))
        (tmp_path / "cohort.toml").write_text(toml)
        with pytest.raises(InputError, match=reason):
            read_study(tmp_path)

    def test_eight_bits_are_refused(self, tmp_path):
        Image.fromarray(np.full((300, 100), 7, np.uint8)).save(tmp_path / "anterior.png")
        with pytest.raises(InputError, match="16-bit grey"):
            read_study(tmp_path)

    def test_other_names_are_refused(self, tmp_path):
        Image.fromarray(np.full((300, 100), 7, np.uint16)).save(tmp_path / "x.png")
        with pytest.raises(InputError, match=r"anterior\.png and posterior\.png"):
            read_study(tmp_path / "x.png")

    @pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\nbroken", b"GIF89a"])
    def test_no_png(self, tmp_path, content):
        (tmp_path / "anterior.png").write_bytes(content)
        with pytest.raises(InputError, match="cannot be read"):
            read_study(tmp_path)

    def test_different_shapes(self, tmp_path):
        for view, rows in zip(View, (300, 310), strict=True):
            Image.fromarray(np.full((rows, 100), 7, np.uint16)).save(tmp_path / f"{view}.png")
        with pytest.raises(InputError, match="300 x 100 and 310 x 100"):
            read_study(tmp_path)


class TestSafeName:
    @pytest.mark.parametrize(
        ("name", "safe"),
        [
            ("scan", "scan"),
            ("../../etc/passwd", "etc_passwd"),
            ("骨シンチ 1", "骨シンチ_1"),
            ("हड्डी", "हड्डी"),
            ("a\n\x00b\\c:d", "a__b_c_d"),
            ("...", "study"),
            ("", "study"),
            ("CON", "study_CON"),
            ("lpt1.x", "study_lpt1.x"),
            (".hidden", "hidden"),
            ("bad\udcff", "bad"),
        ],
    )
    def test_examples(self, name, safe):
        assert safe_name(name) == safe

    def test_long_names_are_cut_between_letters(self):
        assert safe_name("骨" * 200) == "骨" * 40


def test_every_error_of_reading_is_typed(tmp_path):
    """A directory where a file is expected, and a dangling link, are errors of ours as well."""
    link = tmp_path / "link.dcm"
    link.symlink_to(tmp_path / "nowhere")
    for files in discover([link, tmp_path]):
        with pytest.raises(BonescanError):
            read_files(files)


def test_what_cannot_be_reached_is_an_error_of_its_own_and_stops_no_other(tmp_path):
    """The file system refuses more than a name that is not there, even to say what is behind a name."""
    write_nm(a_study("a"), tmp_path / "scan.dcm")
    too_long = "x" * 300
    (tmp_path / "link").symlink_to(too_long)
    os.mkfifo(tmp_path / "anterior.png")
    found = dict(read_studies([tmp_path / too_long, tmp_path / "anterior.png", tmp_path]))
    errors = [str(study) for study in found.values() if isinstance(study, InputError)]
    assert [isinstance(study, Study) for study in found.values()] == [False, False, True]
    assert "cannot be reached (File name too long)" in errors[0]
    assert "neither a file nor a folder" in errors[1]


def test_links_that_lead_out_of_a_folder_and_what_is_no_file_are_passed_over(tmp_path):
    for name in ("elsewhere", "given/inner"):
        (tmp_path / name).mkdir(parents=True)
    given = tmp_path / "given"
    write_nm(a_study("other"), tmp_path / "elsewhere" / "other.dcm")
    write_nm(a_study("scan"), given / "inner" / "scan.dcm")
    (given / "out.dcm").symlink_to(tmp_path / "elsewhere" / "other.dcm")
    (given / "up.dcm").symlink_to("../elsewhere/other.dcm")
    (given / "folder").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(given / "pipe.dcm")
    (given / "loop.dcm").symlink_to("loop.dcm")
    assert [files.paths for files in discover([given])] == [(given / "inner" / "scan.dcm",)]
    # A link within the folder, and one that was named, are as good as a file.
    (given / "in.dcm").symlink_to("inner/scan.dcm")
    assert len(discover([given])) == 2
    (study,) = dict(read_studies([given / "out.dcm"])).values()
    assert isinstance(study, Study)
    # So is a folder that is a link itself.
    (tmp_path / "link").symlink_to(given)
    assert len(discover([tmp_path / "link"])) == 2


def test_a_folder_that_cannot_be_opened_is_named_and_not_left_out(tmp_path, monkeypatch):
    for patient in ("p1", "p2"):
        (tmp_path / patient).mkdir()
        write_nm(a_study(patient), tmp_path / patient / "scan.dcm")
    scandir = os.scandir

    def closed(path):
        if Path(path).name == "p2":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    found = dict(read_studies([tmp_path]))
    assert list(found) == ["p1", "p2"]
    assert isinstance(found["p1"], Study)
    assert "p2 cannot be opened (Permission denied)" in str(found["p2"])


def test_one_path_is_one_input_and_not_its_letters(tmp_path, monkeypatch):
    write_pngs(tmp_path / "folder" / "p1" / "s1", a_study("a"))
    monkeypatch.chdir(tmp_path)
    for given in ("folder", Path("folder"), ["folder"], str(tmp_path / "folder")):
        assert [key for key, _ in read_studies(given)] == ["p1-s1"]
