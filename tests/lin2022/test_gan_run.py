"""A GAN by the command line: from a data set to a run, to samples that join the data set, and to a check."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from bonescan.lin2022.datasets import (
    DatasetOptions,
    Origin,
    PairRecord,
    PatientOptions,
    Subset,
    add_gan_samples,
    read_dataset,
)
from bonescan.lin2022.datasets.index import write_index
from bonescan.lin2022.datasets.moves import Move
from bonescan.lin2022.datasets.originals import Chosen
from bonescan.lin2022.datasets.pairs import write_scan
from bonescan.lin2022.datasets.statement import state, write_statement
from bonescan.lin2022.gan.images import read_gan_images
from bonescan.prepare import Normalisation, mirror, normalise
from bonescan.reading import read_study
from bonescan.study import View

SPLITS = [*[Subset.TRAIN] * 6, *[Subset.TEST] * 4]
REFERENCES = [20.0 + patient for patient in range(len(SPLITS))]
TINY = ["steps=2", "batch=4", "discriminator_steps=1", "network.generator_width=2", "network.discriminator_width=2"]
NARROW = ["network.most_channels=8", "network.latent=4"]


@pytest.fixture(scope="module")
def dataset(make_case, tmp_path_factory):
    """Six training and four test patients, nobody labelled; the first patient's posterior view is missing."""
    folder = tmp_path_factory.mktemp("gan") / "set"
    folder.mkdir()
    records = []
    for number, split in enumerate(SPLITS):
        case = make_case(number, lesions=2, shape=(256, 256))
        name = f"patient-{number:04d}/study"
        (folder / name).mkdir(parents=True)
        present = (True, number != 0)
        write_scan(folder / name / "scan.npz", case.counts, present, (2.2 + number / 100, 2.3))
        reference = REFERENCES[number]
        records.append(
            PairRecord(
                study=name,
                patient=f"patient-{number:04d}",
                origin=Origin.ORIGINAL,
                split=split,
                move=Move(),
                present=present,
                labelled=(False, False),
                references=(reference, reference, reference),
                path=folder / name,
            )
        )
    write_index(folder, records)
    options = DatasetOptions(seed=1, images=22, patients=PatientOptions(count=len(SPLITS)))
    write_statement(folder, state(options, Chosen((), 0)), records)
    return folder


def test_only_training_patients_are_learned_from(dataset):
    images = read_gan_images(dataset, Subset.TRAIN, Normalisation())
    assert len(images) == 2 * 6 - 1
    assert set(images.patients) == {f"patient-{number:04d}" for number in range(6)}
    assert images.views.tolist() == [0, *[0, 1] * 5]
    assert images.references.tolist() == [20.0, *np.repeat(REFERENCES[1:6], 2)]
    assert images.spacings_mm[3] == (pytest.approx(2.22), 2.3)
    # The posterior view is mirrored into the common orientation.
    posterior = read_study(dataset / "patient-0001" / "study" / "scan.npz").counts(View.POSTERIOR)
    expected = normalise(mirror(posterior)[None], Normalisation(), 21.0)[0]
    np.testing.assert_array_equal(images.images[2], expected)


@pytest.mark.slow
def test_a_gan_is_trained_sampled_and_checked(cli, in_process, dataset, tmp_path):
    trained = cli("gan", "train", dataset, "-o", "run", "--set", *TINY, *NARROW, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "gan 2/2" in trained.stderr
    assert "bonescan gan check run" in trained.stdout
    sampled = in_process("gan", "sample", "run", "-o", "samples", "--count", 5, "--seed", 3, "--json", cwd=tmp_path)
    assert sampled.returncode == 0, sampled.stderr
    listed = json.loads(sampled.stdout)
    assert listed == json.loads((tmp_path / "samples" / "samples.json").read_text())
    assert (listed["count"], listed["seed"], len(listed["generator_sha256"])) == (5, 3, 64)
    for entry in listed["samples"]:
        study = read_study(tmp_path / "samples" / entry["study"] / "scan.npz")
        assert list(study.scans) == [View(entry["view"])]
        counts = study.counts(View(entry["view"]))
        assert counts.shape == (256, 256)
        assert counts.sum(dtype=np.float64) == entry["counts_total"] > 0
        assert study.spacing is not None
        assert study.spacing.row_mm == pytest.approx(2.2 + (entry["reference"] - 20) / 100)
    again = in_process("gan", "sample", "run", "-o", "again", "--count", 2, "--seed", 3, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    for number in range(2):
        one, two = (np.load(tmp_path / out / f"sample-000{number}" / "scan.npz") for out in ("samples", "again"))
        (view,) = set(one.files) - {"spacing_mm"}
        assert one[view].dtype == np.uint16
        assert np.array_equal(one[view], two[view])
    refused = in_process("gan", "sample", "run", "-o", "again", "--count", 2, "--seed", 3, cwd=tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    checked = in_process("gan", "check", "run", dataset, "-o", "check", "--count", 8, "--json", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    figures = json.loads(checked.stdout)
    assert figures == json.loads((tmp_path / "check" / "check.json").read_text())
    assert figures["generator_sha256"] == listed["generator_sha256"]
    # Hardly trained, it copies nobody and looks like nothing.
    assert figures["memorises"]["answer"] == "no"
    assert figures["resembles"]["answer"] == "no"
    assert (figures["training"], figures["reference_images"], figures["held_out"]) == (11, 8, True)
    with Image.open(tmp_path / "check" / "sheet.png") as sheet:
        assert sheet.size == (2198, 1376)
    assert sorted(path.name for path in (tmp_path / "check").iterdir()) == ["check.json", "sheet.png"]
    summary = add_gan_samples(dataset, tmp_path / "samples")
    assert {size.name for size in summary.sizes} >= {"D3", "D4"}
    added = [record for record in read_dataset(dataset, "D3").pairs if record.origin is Origin.GAN]
    assert [record.references[0] for record in added] == [one["reference"] for one in listed["samples"][: len(added)]]


def test_what_cannot_be_is_one_sentence(in_process, dataset, tmp_path):
    for arguments, sentence in (
        (("train", tmp_path, "-o", tmp_path / "run"), "is no data set"),
        (("train", dataset, "-o", tmp_path / "run", "--set", "network.size=64"), "network.size is 64"),
        (("sample", tmp_path, "-o", tmp_path / "out", "--count", 1, "--seed", 1), "there is no generator"),
        (("check", tmp_path, dataset, "-o", tmp_path / "out"), "there is no generator"),
    ):
        done = in_process("gan", *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("bonescan: ")
        assert done.stderr.count("\n") == 1
        assert sentence in done.stderr
        assert not (tmp_path / "out").exists()
