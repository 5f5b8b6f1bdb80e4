"""Data sets of thoracic pairs, divided by patient: D1 to D4 and D2_Agg of Lin et al. 2022, Table 1. No torch."""

from __future__ import annotations

from bonescan.lin2022.datasets.build import DatasetSummary, add_gan_samples, build_dataset, summarise
from bonescan.lin2022.datasets.index import SETS, Origin, PairRecord, SetName, SetSize, Subset, table
from bonescan.lin2022.datasets.moves import Move, MoveLimits, Planes, apply_move, sample_move
from bonescan.lin2022.datasets.pairs import DataSet, LoadedPair, aggregate_pair, read_dataset
from bonescan.lin2022.datasets.plan import (
    PAPER_IMAGES,
    PAPER_PATIENTS,
    DatasetOptions,
    PatientOptions,
    Protocol,
    ReaderOptions,
    SplitOptions,
)

__all__ = [
    "PAPER_IMAGES",
    "PAPER_PATIENTS",
    "SETS",
    "DataSet",
    "DatasetOptions",
    "DatasetSummary",
    "LoadedPair",
    "Move",
    "MoveLimits",
    "Origin",
    "PairRecord",
    "PatientOptions",
    "Planes",
    "Protocol",
    "ReaderOptions",
    "SetName",
    "SetSize",
    "SplitOptions",
    "Subset",
    "add_gan_samples",
    "aggregate_pair",
    "apply_move",
    "build_dataset",
    "read_dataset",
    "sample_move",
    "summarise",
    "table",
]
