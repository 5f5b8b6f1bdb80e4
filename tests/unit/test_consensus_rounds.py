"""A round of several readers in folders: labels, what is sent back to whom, and what is refused."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from tests.labelled import EMPTY, SHAPE, picture
from tests.left import POSIX, dead, left_by

from bonescan.annotate import LabelFile, LabelShape, from_label_image, label_image, read_labelme, write_labelme
from bonescan.annotate.label_json import counts_digests
from bonescan.annotate.labelme import ignored_mask, shapes_by_lesion, stamped
from bonescan.annotate.readings import find_readings, read_view
from bonescan.errors import InputError, LabelError, OptionError, OutputError
from bonescan.evaluate import ImageName, compare_image
from bonescan.evaluate.cohort import find_truth, read_truth
from bonescan.evaluate.rounds import LOOK_HERE, RoundOptions, hold_round
from bonescan.prepare import Normalisation, mirror
from bonescan.reading import read_study
from bonescan.study import Scan, Spacing, Study, View
from bonescan.train.cases import FAINT
from bonescan.train.cohort import labelled_case


def write_reader(folder, views, image_name="anterior.png"):
    """views: (patient, view) -> picture."""
    for (patient, view), drawn in views.items():
        path = folder / patient / "study" / f"{view}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_labelme(path, from_label_image(drawn, image_name))


@pytest.fixture
def three(tmp_path):
    """Three readers of two patients: agreed, differing, missed by one, and free of lesions."""
    lesion, near = picture((1, 4, 4, 8, 8)), picture((1, 4, 6, 8, 8))
    both = picture((1, 4, 4, 8, 8), (2, 25, 20, 5, 5))
    for name, ours in (("a", both), ("b", both), ("c", lesion)):
        views = {
            ("p1", "anterior"): ours,
            ("p1", "posterior"): near if name == "b" else lesion,
            ("p2", "anterior"): EMPTY,
        }
        write_reader(tmp_path / name, views)
    return [tmp_path / name for name in "abc"]


def rows_of(out):
    with (out / "returned.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_round_writes_labels_and_what_goes_back(three, tmp_path):
    told = []
    out = tmp_path / "round-1"
    summary = hold_round(three, out, RoundOptions(), lambda *step: told.append(step))
    assert (summary.views, summary.settled, summary.accepted, summary.returned, summary.failures) == (3, 1, 1, 2, ())
    assert told[-1] == (3, 3, "p2/study anterior")
    agreed_file = read_labelme(out / "p1" / "study" / "anterior.json")
    np.testing.assert_array_equal(label_image(agreed_file), picture((1, 4, 4, 8, 8)))
    assert agreed_file.flags == {"lesions returned": True}
    assert agreed_file.shapes[0].description.startswith("drawn by ")
    empty = read_labelme(out / "p2" / "study" / "anterior.json")
    assert (empty.shapes, empty.shape, empty.flags) == ((), SHAPE, {"lesions returned": False})
    rows = rows_of(out)
    assert [(row["reader"], row["view"], row["lesion"], row["why"]) for row in rows] == [
        (reader, view, lesion, why)
        for reader in "abc"
        for view, lesion, why in (("anterior", "1", "only a, b drew it"), ("posterior", "2", "differs"))
    ]
    assert [rows[0][key] for key in ("patient", "study", "row", "col", "area_px a", "area_px c")] == [
        "p1", "study", "27", "22", "25", "0",
    ]  # fmt: skip
    assert (rows[1]["difference a-b"], rows[1]["difference a-c"]) == (f"{1 - 48 / 80:.3f}", "0.000")
    report = json.loads((out / "agreement.json").read_text())
    assert report["consensus"] == {
        "tolerance": 0.05, "seed": 0, "views": 3, "settled": 1, "accepted": 1, "returned": 2,
    }  # fmt: skip
    assert report["readers"] == ["a", "b", "c"]
    # A consensus is the truth of a cohort: what went back is not.
    assert [study.study for study in find_truth(out)] == ["p1/study", "p2/study"]


def test_what_went_back_is_no_background_for_training_and_evaluation(three, tmp_path):
    scan = Study("s", {view: Scan(view, np.ones(SHAPE)) for view in View})
    out = tmp_path / "round-1"
    hold_round(three, out, RoundOptions())
    for view in View:
        labels = read_labelme(out / "p1" / "study" / f"{view}.json")
        drawn = [label_image(read_labelme(tmp_path / reader / "p1" / "study" / f"{view}.json")) for reader in "abc"]
        back = np.any(drawn, axis=0) & (label_image(labels) == 0)
        assert back.any()
        np.testing.assert_array_equal(ignored_mask(labels), back)
        truth = read_truth(out / "p1" / "study")[view]
        np.testing.assert_array_equal(truth.faint, back)
        case = labelled_case(scan, out / "p1" / "study", "p1", Normalisation())
        pixels = case.lesions[0] if view is View.ANTERIOR else mirror(case.lesions[1])
        np.testing.assert_array_equal(pixels == FAINT, back)
    # A mark on it is ignored.
    mark = np.where(back, 1, 0)
    compared = compare_image(ImageName("p1", "study", view), mark, truth)
    assert (compared.on_faint, compared.match.counts().false_positives, compared.pixels.false_positive) == (1, 0, 0)


def test_a_file_of_an_earlier_round_that_does_not_say_where_is_refused(tmp_path):
    path = tmp_path / "anterior.json"
    write_labelme(path, LabelFile((), SHAPE, flags={"lesions returned": True}))
    for use in (ignored_mask, lambda labels: read_truth(tmp_path)):
        with pytest.raises(LabelError, match="run bonescan consensus again"):
            use(read_labelme(path))


def test_the_worklists_show_each_reader_the_lesions_to_look_at_again(three, tmp_path):
    out = tmp_path / "rounds" / "1"
    hold_round(three, out, RoundOptions())
    assert {path.relative_to(out / "returned").as_posix() for path in (out / "returned").rglob("*.json")} == {
        f"{reader}/p1/study/{view}.json" for reader in "abc" for view in View
    }
    own = read_labelme(out / "returned" / "a" / "p1" / "study" / "anterior.json")
    (shape,) = own.shapes
    assert shape.label == "lesion"
    assert shape.description == "lesion 1: only a, b drew it; area differences a-b 0.00, a-c 1.00, b-c 1.00"
    assert own.flags == {"lesion 1 looked at again": False}
    np.testing.assert_array_equal(label_image(own), picture((1, 25, 20, 5, 5)))
    missed = read_labelme(out / "returned" / "c" / "p1" / "study" / "anterior.json")
    assert [shape.label for shape in missed.shapes] == [LOOK_HERE]
    np.testing.assert_array_equal(label_image(missed), picture((1, 25, 20, 5, 5)))
    # LabelMe looks for the picture from the file's own folder.
    place = (out / "returned" / "c" / "p1" / "study" / missed.image_name).resolve()
    assert place == (tmp_path / "c" / "p1" / "study" / "anterior.png").resolve()


def test_a_second_round_keeps_what_was_accepted(three, tmp_path):
    first = hold_round(three, tmp_path / "1", RoundOptions(seed=3))
    write_reader(tmp_path / "c", {("p1", "anterior"): picture((1, 4, 4, 8, 8), (2, 25, 20, 5, 5))})
    second = hold_round(three, tmp_path / "2", RoundOptions(seed=3))
    assert (first.returned, second.returned, second.accepted) == (2, 1, 2)
    before, after = (read_labelme(tmp_path / name / "p1" / "study" / "anterior.json") for name in "12")
    assert after.shapes[0].description == before.shapes[0].description
    again = hold_round(three, tmp_path / "3", RoundOptions(seed=3))
    assert again.report == second.report
    for path in (tmp_path / "2").rglob("*.*"):
        other = tmp_path / "3" / path.relative_to(tmp_path / "2")
        assert other.read_bytes() == path.read_bytes()


def test_a_cohort_with_the_readers_inside_gives_the_same(three, tmp_path):
    for reader in "abc":
        for path in (tmp_path / reader).rglob("*.json"):
            inside = tmp_path / "cohort" / path.relative_to(tmp_path / reader).parent / f"reader-{reader}" / path.name
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.write_bytes(path.read_bytes())
    # The cohort's own labels and what is half written are no reader's.
    write_reader(tmp_path / "cohort", {("p1", "anterior"): EMPTY})
    write_reader(tmp_path / "cohort" / ".p9" / "study" / "reader-z", {("p", "anterior"): EMPTY})
    apart, inside = find_readings(three), find_readings([tmp_path / "cohort"])
    assert apart.readers == inside.readers == ("a", "b", "c")
    assert [files.name for files in inside.views] == [
        "p1/study anterior", "p1/study posterior", "p2/study anterior",
    ]  # fmt: skip
    assert [files.name for files in apart.views] == [files.name for files in inside.views]
    hold_round(three, tmp_path / "1", RoundOptions())
    hold_round([tmp_path / "cohort"], tmp_path / "2", RoundOptions())
    assert (tmp_path / "1" / "agreement.json").read_bytes() == (tmp_path / "2" / "agreement.json").read_bytes()


def test_a_view_that_cannot_be_used_is_named_and_the_others_go_on(three, tmp_path):
    (tmp_path / "b" / "p1" / "study" / "posterior.json").unlink()
    (tmp_path / "c" / "p1" / "study" / "anterior.json").write_text("no json")
    write_reader(tmp_path / "a", {("p2", "posterior"): EMPTY})
    write_reader(tmp_path / "b", {("p2", "posterior"): EMPTY[:9]})
    write_reader(tmp_path / "c", {("p2", "posterior"): EMPTY})
    summary = hold_round(three, tmp_path / "out", RoundOptions())
    assert [(failure.view, failure.error.partition(":")[0]) for failure in summary.failures] == [
        ("p1/study anterior", "reader c"),
        ("p1/study posterior", "there is no posterior.json of b, only of a, c"),
        ("p2/study posterior", "the readers labelled images of different sizes (a 40 x 30, b 9 x 30, c 40 x 30)"),
    ]
    assert (summary.views, summary.settled) == (1, 1)
    assert len(summary.report["failures"]) == 3
    assert rows_of(tmp_path / "out") == []
    assert not (tmp_path / "out" / "p1").exists()


def test_nothing_is_written_where_no_view_can_be_used(three, tmp_path):
    for path in (tmp_path / "a").rglob("*.json"):
        path.write_text("{}")
    summary = hold_round(three, tmp_path / "out", RoundOptions())
    assert (summary.views, summary.report, len(summary.failures)) == (0, None, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_a_frame_that_no_scan_has_is_not_drawn(tmp_path):
    for reader in "ab":
        write_reader(tmp_path / reader, {("p", "anterior"): EMPTY})
        path = tmp_path / reader / "p" / "study" / "anterior.json"
        path.write_text(path.read_text().replace('"imageHeight": 40', '"imageHeight": 999999'))
    readings = find_readings([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(LabelError, match=r"reader a: .* 999999 x 30"):
        read_view(readings.views[0], readings.readers)


def test_folders_that_are_no_readers_are_refused(three, tmp_path):
    with pytest.raises(InputError, match="no folder"):
        find_readings([tmp_path / "a", tmp_path / "none"])
    with pytest.raises(InputError, match="both name a reader a"):
        write_reader(tmp_path / "other" / "reader-a", {("p1", "anterior"): EMPTY})
        find_readings([tmp_path / "a", tmp_path / "other" / "reader-a"])
    with pytest.raises(InputError, match="label files of 0 readers"):
        find_readings([tmp_path / "a"])
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="holds no label file"):
        find_readings([tmp_path / "a", tmp_path / "nothing"])


@POSIX
def test_what_a_killed_round_left_goes_with_the_next_one_into_the_same_folder(three, tmp_path):
    left_by(dead(), tmp_path / "out")
    hold_round(three, tmp_path / "out", RoundOptions())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "out"]


def test_an_earlier_round_is_never_replaced(three, tmp_path):
    hold_round(three, tmp_path / "out", RoundOptions())
    with pytest.raises(OutputError, match="new folder for each round"):
        hold_round(three, tmp_path / "out", RoundOptions())
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="new folder"):
        hold_round(three, tmp_path / "file", RoundOptions())
    with pytest.raises(OptionError, match="give 0 to 1"):
        RoundOptions(tolerance=-0.1)
    with pytest.raises(OptionError, match="the seed is -1"):
        RoundOptions(seed=-1)


def test_the_shapes_of_a_lesion_are_those_that_the_picture_numbers():
    square = np.array([[0.0, 0.0], [0.0, 3.0], [3.0, 3.0], [3.0, 0.0]]) - 0.5
    shapes = [
        LabelShape("lesion", square, group_id=1),
        LabelShape("lesion", square + np.array([20, 0])),
        LabelShape("lesion", square + np.array([0, 10]), group_id=1),
    ]
    labels = LabelFile(tuple(shapes), SHAPE)
    drawn = label_image(labels)
    assert [len(pieces) for pieces in shapes_by_lesion(labels)] == [2, 1]
    for number, pieces in enumerate(shapes_by_lesion(labels), start=1):
        np.testing.assert_array_equal(label_image(LabelFile(pieces, SHAPE)) > 0, drawn == number)


def test_the_command_line(in_process, three, tmp_path):
    done = in_process("consensus", *three, "-o", tmp_path / "out", "--tolerance", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["consensus"]["tolerance"], report["consensus"]["accepted"]) == (0.5, 2)
    assert report["folder"] == str(tmp_path / "out")
    (tmp_path / "b" / "p2" / "study" / "anterior.json").unlink()
    some = in_process("consensus", *three, "-o", tmp_path / "some")
    assert some.returncode == 1
    assert "p2/study anterior: there is no anterior.json of b" in some.stderr
    assert "2 views, 0 of them settled; at a tolerance of 0.05, 1 places accepted and 2 returned" in some.stdout
    assert "Research use only" in some.stdout
    nothing = in_process("consensus", tmp_path / "a", "-o", tmp_path / "none")
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
    assert in_process("consensus", *three, "-o", tmp_path / "none", "--tolerance", "5").returncode == 2
    assert not (tmp_path / "none").exists()


def write_stamped(path, scan):
    labels = from_label_image(EMPTY)
    write_labelme(path, stamped(labels, {View.ANTERIOR: counts_digests(scan)[View.ANTERIOR]}))


def test_files_that_were_drawn_on_another_image_are_refused(tmp_path):
    scans = {}
    for seed, patient in enumerate(("p1", "p2")):
        study = tmp_path / "cohort" / patient / "study"
        study.mkdir(parents=True)
        counts = np.random.default_rng(seed).poisson(5, SHAPE).astype(np.uint16)
        np.savez(study / "scan.npz", anterior=counts)
        scans[patient] = read_study(study)
    files = {}
    for patient, reader in ((patient, reader) for patient in scans for reader in "ab"):
        path = tmp_path / "cohort" / patient / "study" / f"reader-{reader}" / "anterior.json"
        path.parent.mkdir()
        write_stamped(path, scans[patient])
        files[patient, reader] = path
    assert hold_round([tmp_path / "cohort"], tmp_path / "1", RoundOptions()).failures == ()
    # One of the readers drew on another image; then both did.
    for number, (reader, sentence) in enumerate(
        (
            ("a", "the files of a, b were drawn on different images: give the readers' files of one scan"),
            (
                "b",
                "anterior.json of a was drawn on another image than the anterior view of the scan beside it: put each "
                "label file beside the scan that it was drawn on",
            ),
        )
    ):
        write_stamped(files["p2", reader], scans["p1"])
        summary = hold_round([tmp_path / "cohort"], tmp_path / f"again-{number}", RoundOptions())
        assert [(one.view, one.error) for one in summary.failures] == [("p2/study anterior", sentence)]
        assert summary.views == 1
    # Without a stamp it is not known.
    for reader in "ab":
        write_labelme(files["p2", reader], from_label_image(EMPTY))
    assert hold_round([tmp_path / "cohort"], tmp_path / "2", RoundOptions()).failures == ()


@pytest.fixture
def inside(tmp_path):
    """A cohort with a scan and two readers inside, who agree on one lesion of two; the scan."""
    study = tmp_path / "cohort" / "p1" / "study"
    study.mkdir(parents=True)
    np.savez(study / "scan.npz", anterior=np.random.default_rng(0).poisson(5, SHAPE).astype(np.uint16))
    for reader, drawn in (
        ("a", picture((1, 4, 4, 8, 8), (2, 25, 20, 5, 5))),
        ("b", picture((1, 4, 4, 8, 8))),
    ):
        (study / f"reader-{reader}").mkdir()
        write_labelme(study / f"reader-{reader}" / "anterior.json", from_label_image(drawn))
    return read_study(study)


def test_the_files_of_a_round_say_which_scan_they_belong_to(inside, tmp_path):
    own = {View.ANTERIOR: counts_digests(inside)[View.ANTERIOR]}
    hold_round([tmp_path / "cohort"], tmp_path / "1", RoundOptions())
    written = sorted((tmp_path / "1").rglob("anterior.json"))
    assert len(written) == 3  # the consensus, and what each reader looks at again
    for path in written:
        labels = read_labelme(path)
        assert labels.stamp is not None, path
        assert (labels.stamp.counts, labels.is_edited) == (own, False)
    # So the label file of another patient is refused.
    other = replace(inside, scans={View.ANTERIOR: Scan(View.ANTERIOR, np.ones(SHAPE))})
    with pytest.raises(LabelError, match="was drawn on another image"):
        labelled_case(other, tmp_path / "1" / "p1" / "study", "p1", Normalisation())
    for size in (1.2, 4.8):  # `segment` would bring these pixels to another size
        with pytest.raises(InputError, match="export scan and labels with pixels of about"):
            labelled_case(replace(inside, spacing=Spacing(size, size)), tmp_path, "p1", Normalisation())


def test_the_stamps_of_the_readers_are_kept_where_there_is_no_scan(inside, tmp_path):
    own = {View.ANTERIOR: counts_digests(inside)[View.ANTERIOR]}
    (tmp_path / "cohort" / "p1" / "study" / "scan.npz").unlink()
    first = tmp_path / "cohort" / "p1" / "study" / "reader-a" / "anterior.json"
    for number, known in enumerate((False, True)):
        if known:
            write_labelme(first, stamped(read_labelme(first), own))
        hold_round([tmp_path / "cohort"], tmp_path / str(number), RoundOptions())
        stamp = read_labelme(tmp_path / str(number) / "p1" / "study" / "anterior.json").stamp
        assert (stamp is not None) == known
        assert not known or stamp.counts == own


def test_a_round_whose_scans_differ_from_reader_to_reader_belongs_to_none(three, tmp_path):
    for seed, reader in enumerate("abc"):
        counts = np.random.default_rng(seed).poisson(5, SHAPE).astype(np.uint16)
        np.savez(tmp_path / reader / "p1" / "study" / "scan.npz", anterior=counts)
    hold_round(three, tmp_path / "1", RoundOptions())
    assert read_labelme(tmp_path / "1" / "p1" / "study" / "anterior.json").stamp is None
