"""GAN samples as unlabelled training images of a data set: single views, which join D3 and D4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bonescan.datasets.index import Origin, PairRecord, Split
from bonescan.datasets.moves import Move
from bonescan.datasets.originals import references_of
from bonescan.datasets.write import SHAPE, write_scan
from bonescan.errors import InputError, OptionError
from bonescan.reading import read_study
from bonescan.study import Study, View
from bonescan.train.cases import pair_counts

FOLDER = "gan"
"""Where samples lie in a data set, and the patient that they are said to be of: nobody."""


def add_samples(folder: Path, records: Sequence[PairRecord], samples: Path, images: int) -> list[PairRecord]:
    """Copy as many samples as D3 lacks to `images` into a data set's folder, and return their rows of the index.

    samples: the folder that `bonescan gan sample` wrote. A sample's reference is its own: it has no frame around it.
    Raises InputError where there are too few samples, or one is no single view of 256 x 256, and OptionError
    where the originals alone come to `images`.
    """
    originals = sum(sum(record.present) for record in records if record.origin is Origin.ORIGINAL)
    wanted = images - originals
    if wanted < 1:
        raise OptionError(f"the originals alone are {originals} images: state more than that, or no GAN samples")
    sources = sorted(path.parent for path in Path(samples).glob("sample-*/scan.npz"))
    if len(sources) < wanted:
        raise InputError(
            f"{samples} holds {len(sources)} GAN samples and D3 of {images} images needs {wanted}: sample more, or "
            "state fewer images"
        )
    return [_add(folder / FOLDER / f"sample-{number:04d}", source) for number, source in enumerate(sources[:wanted])]


def _add(folder: Path, source: Path) -> PairRecord:
    study = read_study(source / "scan.npz")
    counts = _checked(study, source)
    present = (View.ANTERIOR in study.scans, View.POSTERIOR in study.scans)
    folder.mkdir(parents=True)
    spacing = None if study.spacing is None else (study.spacing.row_mm, study.spacing.col_mm)
    write_scan(folder / "scan.npz", counts, present, spacing)
    name = f"{FOLDER}/{folder.name}"
    return PairRecord(
        name, FOLDER, Origin.GAN, Split.TRAIN, Move(), present, (False, False), references_of(counts), folder
    )


def _checked(study: Study, source: Path) -> NDArray[np.uint16]:
    if len(study.scans) != 1 or study.shape != SHAPE:
        raise InputError(
            f"{source.name} has {len(study.scans)} views of {study.shape[0]} x {study.shape[1]} pixels and a sample is "
            f"one view of {SHAPE[0]} x {SHAPE[1]}: give the folder that bonescan gan sample wrote"
        )
    return pair_counts(study)
