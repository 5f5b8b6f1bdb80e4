"""A data set of simulated patients, and one of a small cohort, which take a while to make."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from bonescan.lin2022.datasets import DatasetOptions, PatientOptions, build_dataset
from bonescan.study import View

SHAPE = (256, 256)
PATIENTS = 6
LESION_FREE = 2
"""The number of the patient without a lesion."""


def disc(row, col, radius=4):
    rows, cols = np.indices(SHAPE)
    return np.hypot(rows - row, cols - col) <= radius


def write_patient(folder, number):
    """A rectangle of a patient; a lesion and a faint one in the anterior view, one in the posterior, as acquired."""
    rng = np.random.default_rng(number)
    body = np.zeros(SHAPE)
    body[20:240, 60:200] = 12
    lesions = {view: np.zeros(SHAPE, np.uint16) for view in View}
    faint = np.zeros(SHAPE, np.bool_)
    if number != LESION_FREE:
        lesions[View.ANTERIOR][disc(60 + 10 * number, 100)] = 3
        lesions[View.POSTERIOR][disc(100, 90 + 5 * number)] = 1
        faint |= disc(200, 150)
    folder.mkdir(parents=True)
    counts = {view: rng.poisson(body + 60 * (lesions[view] > 0)).astype(np.uint16) for view in View}
    np.savez(folder / "scan.npz", spacing_mm=np.array([2.3, 2.3]), **counts)
    arrays = {f"lesions_{view}": lesions[view] for view in View}
    np.savez(folder / "truth.npz", faint_anterior=faint, faint_posterior=np.zeros(SHAPE, np.bool_), **arrays)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory) -> Path:
    """Patients of one study each; one of them has no lesion."""
    folder = tmp_path_factory.mktemp("cohort")
    for number in range(PATIENTS):
        write_patient(folder / f"p{number}" / "scan-a", number)
    return folder


@pytest.fixture(scope="session")
def options(cohort) -> DatasetOptions:
    """Of a data set of 24 images of the cohort."""
    return DatasetOptions(seed=1, images=24, patients=PatientOptions(cohort=cohort))


@pytest.fixture(scope="session")
def built(options, tmp_path_factory) -> Path:
    """The data set of the options. The folder is everybody's: who changes it, changes a copy."""
    out = tmp_path_factory.mktemp("built") / "set"
    told = []
    summary = build_dataset(
        options, out, lambda done, total, last="", stage=None: told.append((stage, done, total)), processes=1
    )
    assert (summary.statement.options["patients"], summary.statement.patients_left_out) == (PATIENTS - 1, 1)
    assert told[-1] == ("pairs", 12, 12)
    assert ("studies", PATIENTS, PATIENTS) in told
    return out


@pytest.fixture(scope="session")
def small_set(cli, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """`bonescan dataset` of four patients and 24 images, by a child process: its folder and what was said.

    The folder is everybody's: who changes it, changes a copy.
    """
    out = tmp_path_factory.mktemp("dataset") / "set"
    done = cli("dataset", "-o", out, "--seed", 1, "--patients", 4, "--images", 24)
    assert done.returncode == 0, done.stderr
    return out, done
