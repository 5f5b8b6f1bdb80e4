"""`bonescan dataset`: the data sets D1 to D4 and D2_Agg, divided by patient."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from bonescan.commands.base import DONE, RESEARCH_USE_ONLY, Command, add_json, add_out, count, path, seed
from bonescan.commands.console import Console

PROTOCOLS = ("by-patient", "leaky")
"""What `--protocol` can name: `datasets.Protocol`."""


@dataclass(frozen=True, slots=True)
class Dataset(Command):
    """Build the data sets D1, D2 (augmented) and D2_Agg (aggregated), and with GAN samples D3 and D4."""

    out: Path
    seed: int
    patients: int | None
    images: int
    protocol: str
    cohort: Path | None
    keep_lesion_free: bool
    gan: Path | None
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        add_out(parser, "the data set's folder to write")
        parser.add_argument("--seed", type=seed, required=True, metavar="S", help="of patients, split and augmentation")
        parser.add_argument(
            "--patients",
            type=count,
            metavar="N",
            help="patients with a lesion in the thorax (default: 56 simulated ones, or all of the cohort)",
        )
        parser.add_argument(
            "--images", type=count, default=2280, metavar="N", help="images of D2 and of D3 (default: 2280)"
        )
        parser.add_argument(
            "--protocol",
            choices=PROTOCOLS,
            default="by-patient",
            help="divide patients before augmenting (default), or shuffle all pairs, to measure what leakage is worth",
        )
        parser.add_argument(
            "--cohort", type=path, metavar="DIR", help="take a labelled cohort's scans, not simulated ones"
        )
        parser.add_argument(
            "--keep-lesion-free", action="store_true", help="also take the cohort's patients without a thoracic lesion"
        )
        parser.add_argument("--gan", type=path, metavar="DIR", help="add the samples of bonescan gan sample: D3 and D4")
        add_json(parser)

    def run(self, console: Console) -> int:
        """Build the folder and print Table 1."""
        from bonescan.datasets import DatasetOptions, PatientOptions, Protocol, SplitOptions, build_dataset, table

        options = DatasetOptions(
            seed=self.seed,
            images=self.images,
            patients=PatientOptions(self.patients, self.cohort, self.keep_lesion_free),
            split=SplitOptions(Protocol(self.protocol)),
            gan=self.gan,
        )
        with console.progress("patients") as progress:
            summary = build_dataset(options, self.out, progress)
        if self.json:
            console.out_json({"research_use_only": True, **summary.to_dict()})
            return DONE
        for warning in summary.warnings:
            console.out(warning)
        console.out(table(summary.sizes))
        console.out(str(summary))
        console.out(RESEARCH_USE_ONLY)
        return DONE
