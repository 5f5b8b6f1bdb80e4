"""The plan of an adaptation: the patients used and held out, and the steps that the minutes allow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from bonescan.adapt.plan import chosen, estimate, kept_aside
from bonescan.adapt.scans import ReadScan, Scans
from bonescan.adapt.settings import AdaptConfig
from bonescan.study import Scan, Study, View
from bonescan.train.config import PhantomConfig, TrainConfig
from bonescan.train.phantoms import training_shards

CONFIG = AdaptConfig(steps=400, looks=2, variants=1, validation_anatomies=1)


def scans_of(*patients) -> tuple[ReadScan, ...]:
    study = Study("s", {View.ANTERIOR: Scan(View.ANTERIOR, np.ones((4, 4)))})
    return tuple(ReadScan(n, f"s{n}", study, patient, str(n)) for n, patient in enumerate(patients, start=1))


def test_a_fifth_of_the_patients_stays_aside_whole():
    assert len(kept_aside(scans_of(*"abcde"))) == 2
    twenty = scans_of(*2 * "abcdefghijklmnopqrst")
    assert len(kept_aside(twenty)) == 4
    assert kept_aside(twenty) == kept_aside(twenty[::-1])


def test_of_many_patients_some_are_chosen_with_all_their_scans():
    scans = scans_of(*2 * "ecadb")
    used = chosen(Scans(scans), 3)
    assert len({scan.patient for scan in used}) == 3
    assert len(used) == 6
    assert set(chosen(Scans(scans[::-1]), 3)) == set(used), "the order of the inputs does not matter"
    assert chosen(Scans(scans), 5) == scans


def test_what_an_adaptation_takes_by_hand_and_the_steps_that_its_minutes_allow(tmp_path):
    """Of 8 scans to learn from and 2 held out, at 0.25 s a step and 0.5 s a frame."""
    phantoms = PhantomConfig(
        anatomies=1,
        patients_per_anatomy=5,
        validation_anatomies=1,
        validation_patients_per_anatomy=3,
        cache=str(tmp_path),
        processes=2,
    )
    train_config = TrainConfig(name="ours", phantoms=phantoms)

    def ahead(config):
        return estimate(config, train_config, (8, 2), (0.25, 0.5))

    whole = ahead(CONFIG)
    assert whole.simulate == (4 + 5 + 4 + 3) / 2  # an anatomy 4 s, a patient 1 s, in two processes
    # Each held-out scan plain and with lesions, and three patients; two looks at 8 scans, each also mirrored.
    assert whole.judge == pytest.approx((2 * 2 + 3) * (2 * 0.5 + 0.8) + 2 * 2 * 8 * 0.5)
    assert (whole.steps, whole.learn) == (400, 100.0)
    fixed = whole.simulate + whole.judge

    def steps_in(seconds, config=CONFIG):
        return ahead(replace(config, minutes=seconds / 60)).steps

    assert steps_in(fixed + 300.5 * 0.25) == 300
    assert steps_in(fixed + 1000) == 400
    assert steps_in(fixed + 19 * 0.25) == steps_in(1) == 20
    assert steps_in(1, replace(CONFIG, steps=6)) == 6
    for shard in training_shards(phantoms, train_config.normalisation):
        shard.folder.mkdir(parents=True)
    assert ahead(CONFIG).simulate == (4 + 3) / 2, "patients that are kept are not simulated again"
