"""`bonescan dataset` as a child process: simulated patients to Table 1, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from bonescan.lin2022.datasets import Subset, read_dataset


@pytest.mark.slow
def test_four_patients_make_twenty_four_images(small_set):
    out, done = small_set
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["set", "images", "pairs", "patients", "labelled", "train", "test", "unused"]
    assert [row[:4] for row in rows[1:4]] == [
        ["D1", "8", "4", "4"],
        ["D2", "24", "12", "4"],
        ["D2_Agg", "12", "12", "4"],
    ]
    assert "Research use only" in done.stdout
    assert "LEAKY" not in done.stdout
    dataset = read_dataset(out, "D2")
    assert {record.patient for record in dataset.of(Subset.TRAIN)}.isdisjoint(
        record.patient for side in (Subset.TEST, Subset.UNUSED) for record in dataset.of(side)
    )
    for record in read_dataset(out, "D1").pairs:
        pair = dataset.load(record)
        assert pair.counts.shape == (2, 256, 256)
        assert ((pair.lesions > 0) & (pair.lesions < 255)).any()
        regions = dataset.load_regions(record)
        assert regions is not None
        assert regions.any()


@pytest.mark.slow
def test_it_is_a_cohort_for_the_others_and_leaky_is_said_loudly(small_set, in_process, tmp_path):
    out, _ = small_set
    done = in_process(
        "dataset", "-o", tmp_path / "again", "--cohort", out, "--images", 24, "--seed", 1, "--protocol", "leaky"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("LEAKY:")
    assert len(read_dataset(tmp_path / "again", "D1").pairs) == 12  # every pair of the folder is a study of a cohort


@pytest.mark.slow
def test_samples_are_added_and_json_is_for_scripts(small_set, in_process, tmp_path):
    out, _ = small_set
    samples = tmp_path / "samples"
    for number in range(16):
        place = samples / f"sample-{number:04d}"
        place.mkdir(parents=True)
        np.savez(place / "scan.npz", posterior=np.full((256, 256), 3 + number, np.uint16))
    own = tmp_path / "set"
    shutil.copytree(out, own)
    done = in_process("dataset", "-o", own, "--add-gan", samples, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["research_use_only"] is True
    assert (told["sets"]["D3"]["images"], told["sets"]["D4"]["images"]) == (24, 40)
    assert told["digest"] == read_dataset(own, "D3").digest


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "give --seed"),
        (("--seed", 1, "--images", 7), "7 images are no pairs"),
        (("--seed", 1, "--tolerance", 0.1), "add --labels readers"),
        (("--seed", 1, "--cohort", "c", "--labels", "readers", "--readers", 2), "leave --readers out"),
        (("--seed", 1, "--add-gan", "g"), "give nothing beside"),
        (("--add-gan", "g"), "no data set"),
        (("--seed", 1, "--cohort", "nowhere"), "nowhere is no folder"),
        (("--seed", 1, "--cohort", "."), "holds no labelled study"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(in_process, tmp_path, arguments, why):
    done = in_process("dataset", "-o", "out", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
