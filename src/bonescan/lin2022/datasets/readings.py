"""Labels by the consensus of several readers instead of the truth. Lin et al. 2022, section 2.2.

What all readers annotated alike is a lesion. What returns to them is ignored: neither lesion nor background.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bonescan.annotate.consensus import FEWEST_READERS, agree
from bonescan.annotate.labelme import label_image, read_labelme, refuse_another_image
from bonescan.errors import InputError
from bonescan.lin2022.datasets.plan import ReaderOptions
from bonescan.phantom import Phantom
from bonescan.phantom.readers import make_reader, read_patient
from bonescan.report.words import counted
from bonescan.study import LabelImage, Study, View
from bonescan.train.cases import pair_truth

_STREAM = 0xA6EE
Readings = Mapping[View, Mapping[str, LabelImage]]
"""What each reader annotated, by view, as acquired."""


def simulated_readings(patient: Phantom, options: ReaderOptions, seed: int) -> Readings:
    """What simulated readers annotate on a phantom. The same readers read all patients of a data set."""
    readers = [make_reader(seed, number) for number in range(options.count)]
    drawn = {reader.name: read_patient(patient, reader) for reader in readers}
    return {view: {name: pictures[view] for name, pictures in drawn.items()} for view in View}


def stored_readings(folder: Path, study: Study) -> Readings:
    """What the readers of a cohort's study annotated: reader-<name>/anterior.json and posterior.json in its folder.

    Raises InputError where a view was read by fewer than two, LabelError for a file that cannot be used.
    """
    readings: dict[View, dict[str, LabelImage]] = {}
    for view in study.scans:
        files = sorted(folder.glob(f"reader-*/{view}.json"))
        if len(files) < FEWEST_READERS:
            raise InputError(
                f"{counted(len(files), 'reader')} of {FEWEST_READERS} annotated the {view} view of "
                f"{folder.parent.name}/{folder.name}: add reader-<name>/{view}.json, or give --labels truth"
            )
        readings[view] = {path.parent.name: _reading(path, view, study) for path in files}
    return readings


def _reading(path: Path, view: View, study: Study) -> LabelImage:
    labels = read_labelme(path)
    refuse_another_image(f"{path.parent.name}/{path.name}", labels, view, study)
    return label_image(labels, study.shape)


def agreed_labels(
    readings: Readings, shape: tuple[int, int], tolerance: float, key: tuple[int, ...]
) -> NDArray[np.uint8]:
    """The consensus of a study's readers as (2, rows, cols) uint8: lesion numbers, 0, and FAINT for what returns.

    key: integers that seed the random choice of accepted curves.
    """
    views = list(View)
    consensus = {
        view: agree(drawn, tolerance, np.random.default_rng([_STREAM, *key, views.index(view)]))
        for view, drawn in readings.items()
    }
    labels = {view: one.labels for view, one in consensus.items()}
    return pair_truth(labels, {view: one.returned_mask for view, one in consensus.items()}, shape)
