"""GAN samples as unlabelled training images of a data set: single views, which join D3 and D4."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bonescan.errors import InputError, OptionError, OutputError
from bonescan.lin2022.datasets.index import Origin, PairRecord, Subset, read_index
from bonescan.lin2022.datasets.moves import Move
from bonescan.lin2022.datasets.originals import GAN, references_of
from bonescan.lin2022.datasets.statement import Statement
from bonescan.lin2022.datasets.write import SHAPE, Written, digest_of, extend, write_scan
from bonescan.reading import read_study
from bonescan.study import Study, View
from bonescan.train.cases import pair_counts

LIST = "samples.json"


def add_samples(folder: Path, statement: Statement, samples: Path) -> Statement:
    """Copy as many samples as D3 lacks into a data set's folder, and enter them; returns the new statement.

    samples: the folder that `bonescan gan sample` wrote. A sample has no frame around it: its reference is the one in
    samples.json, or else the one of its own pixels.
    Raises InputError if there are too few samples, or one is not a single view of 256 x 256, OptionError if the
    originals alone fill D3, and OutputError if the data set has samples already.
    """
    records = read_index(folder)
    if any(record.origin is Origin.GAN for record in records):
        raise OutputError(f"{folder} has GAN samples already: build the data set again to take others")
    sources = _sources(samples, records, int(statement.options["images"]))
    final, partial = folder / GAN, folder / f".{GAN}.{os.getpid()}.partial"
    try:
        drawn_at = _references(samples / LIST)
        written = [
            _add(partial / f"sample-{number:04d}", source, drawn_at.get(source.name))
            for number, source in enumerate(sources)
        ]
        shutil.rmtree(final, ignore_errors=True)  # left by an interrupted run
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return extend(folder, statement, records, written)


def _sources(samples: Path, records: tuple[PairRecord, ...], images: int) -> list[Path]:
    """The folders of as many samples as D3 lacks to `images`."""
    originals = sum(sum(record.present) for record in records if record.origin is Origin.ORIGINAL)
    wanted = images - originals
    if wanted < 1:
        raise OptionError(f"the originals alone are {originals} images: give more than that, or no GAN samples")
    sources = sorted(path.parent for path in samples.glob("sample-*/scan.npz"))
    if len(sources) < wanted:
        raise InputError(
            f"{samples} holds {len(sources)} GAN samples and D3 of {images} images needs {wanted}: sample more, or "
            "build a data set of fewer images"
        )
    return sources[:wanted]


def _references(path: Path) -> dict[str, float]:
    """The reference that each sample was drawn at, by its folder's name; empty if there is no list."""
    if not path.exists():
        return {}
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["samples"]
        return {str(sample["study"]): float(sample["reference"]) for sample in listed}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be used ({type(error).__name__}): sample again") from None


def _add(folder: Path, source: Path, drawn_at: float | None) -> Written:
    study = read_study(source / "scan.npz")
    counts = _checked(study, source)
    present = (View.ANTERIOR in study.scans, View.POSTERIOR in study.scans)
    folder.mkdir(parents=True)
    spacing = None if study.spacing is None else (study.spacing.row_mm, study.spacing.col_mm)
    write_scan(folder / "scan.npz", counts, present, spacing)
    record = PairRecord(
        study=f"{GAN}/{folder.name}",
        patient=GAN,
        origin=Origin.GAN,
        split=Subset.TRAIN,
        move=Move(),
        present=present,
        labelled=(False, False),
        references=references_of(counts) if drawn_at is None else (drawn_at, drawn_at, drawn_at),
        path=folder,
    )
    return Written(record, digest_of(folder))


def _checked(study: Study, source: Path) -> NDArray[np.uint16]:
    if len(study.scans) != 1 or study.shape != SHAPE:
        raise InputError(
            f"{source.name} has {len(study.scans)} views of {study.shape[0]} x {study.shape[1]} pixels and a sample is "
            f"one view of {SHAPE[0]} x {SHAPE[1]}: give the folder that bonescan gan sample wrote"
        )
    return pair_counts(study)
