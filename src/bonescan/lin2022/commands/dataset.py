"""`bonescan dataset`: the data sets D1 to D4 and D2_Agg, divided by patient."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bonescan.commands.base import (
    DONE,
    RESEARCH_USE_ONLY,
    Command,
    Console,
    add_json,
    add_out,
    add_views,
    count,
    path,
    seed,
)
from bonescan.errors import OptionError

if TYPE_CHECKING:
    from bonescan.lin2022.datasets import DatasetOptions

PROTOCOLS = ("by-patient", "leaky")
"""The values of `--protocol`: `datasets.Protocol`."""

LABELS = ("truth", "readers")
"""The values of `--labels`."""


@dataclass(frozen=True, slots=True)
class Dataset(Command):
    """Build the data sets D1, D2 (augmented) and D2_Agg (aggregated), and with GAN samples D3 and D4."""

    out: Path
    seed: int | None
    patients: int | None
    images: int | None
    protocol: str | None
    labels: str | None
    readers: int | None
    tolerance: float | None
    cohort: Path | None
    views: tuple[str, ...] | None
    keep_lesion_free: bool
    gan: Path | None
    add_gan: Path | None
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        add_out(parser, "the data set's folder to write")
        parser.add_argument(
            "--seed", type=seed, metavar="S", help="seed of patients, split and augmentation; required to build"
        )
        parser.add_argument(
            "--patients",
            type=count,
            metavar="N",
            help="patients with a lesion in the thorax (default: 56 simulated ones, or all of the cohort)",
        )
        parser.add_argument("--images", type=count, metavar="N", help="images of D2 and of D3 (default: 2280)")
        parser.add_argument(
            "--protocol",
            choices=PROTOCOLS,
            help="divide patients before augmenting (by-patient, the default), or shuffle all pairs, to measure the "
            "effect of leakage (leaky)",
        )
        parser.add_argument(
            "--cohort", type=path, metavar="DIR", help="take the scans of a labelled cohort, not simulated ones"
        )
        add_views(parser)
        parser.add_argument(
            "--keep-lesion-free", action="store_true", help="also take the cohort's patients without a thoracic lesion"
        )
        parser.add_argument(
            "--labels", choices=LABELS, help="what training pairs are labelled by: the truth (default), or readers"
        )
        parser.add_argument("--readers", type=count, metavar="N", help="simulated readers (default: 3)")
        parser.add_argument(
            "--tolerance", type=float, metavar="T", help="area difference up to which readers agree (default: 0.05)"
        )
        samples = parser.add_mutually_exclusive_group()
        samples.add_argument(
            "--gan", type=path, metavar="DIR", help="also build D3 and D4, with what bonescan gan sample wrote"
        )
        samples.add_argument(
            "--add-gan", type=path, metavar="DIR", help="only add GAN samples to the data set that exists in OUT"
        )
        add_json(parser)

    def run(self, console: Console) -> int:
        """Build the folder, or add to it, and print Table 1."""
        from bonescan.lin2022.datasets import add_gan_samples, build_dataset, table

        if self.add_gan is not None:
            self._refuse_what_is_built_already()
            summary = add_gan_samples(self.out, self.add_gan)
        else:
            options = self._options()
            with console.progress("patients") as progress:
                summary = build_dataset(options, self.out, progress)
        for doubt in summary.statement.doubts:
            console.note(f"warning: {doubt}")
        if self.json:
            console.out_json({"research_use_only": True, **summary.to_dict()})
            return DONE
        for warning in summary.warnings:
            console.out(warning)
        console.out(table(summary.sizes))
        console.out(str(summary))
        console.out(RESEARCH_USE_ONLY)
        return DONE

    def _options(self) -> DatasetOptions:
        from bonescan.dicom.values import stated_views
        from bonescan.lin2022.datasets import (
            PAPER_IMAGES,
            DatasetOptions,
            PatientOptions,
            Protocol,
            ReaderOptions,
            SplitOptions,
        )

        if self.seed is None:
            raise OptionError("a data set is built from a seed: give --seed, as in --seed 1")
        if self.labels != "readers" and (self.readers is not None or self.tolerance is not None):
            raise OptionError("--readers and --tolerance are for labels by readers: add --labels readers")
        if self.readers is not None and self.cohort is not None:
            raise OptionError("a cohort has its own readers: leave --readers out")
        usual = ReaderOptions()
        readers = ReaderOptions(
            usual.count if self.readers is None else self.readers,
            usual.tolerance if self.tolerance is None else self.tolerance,
        )
        return DatasetOptions(
            seed=self.seed,
            images=PAPER_IMAGES if self.images is None else self.images,
            patients=PatientOptions(self.patients, self.cohort, self.keep_lesion_free, stated_views(self.views)),
            split=SplitOptions(Protocol(self.protocol or Protocol.BY_PATIENT)),
            readers=readers if self.labels == "readers" else None,
            gan=self.gan,
        )

    def _refuse_what_is_built_already(self) -> None:
        sizes = (self.seed, self.patients, self.images, self.protocol)
        sources = (self.labels, self.readers, self.tolerance, self.cohort, self.views)
        if self.keep_lesion_free or any(option is not None for option in (*sizes, *sources)):
            raise OptionError("--add-gan adds to the data set that is there: give nothing beside -o OUT")
