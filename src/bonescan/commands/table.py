"""`bonescan table`: all results of a folder as CSV or Parquet."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from bonescan.commands.base import (
    DONE,
    RESEARCH_USE_ONLY,
    SOME_FAILED,
    Command,
    Console,
    add_out,
    needs_extra,
    path,
)


@dataclass(frozen=True, slots=True)
class Table(Command):
    """Write lesions.csv, studies.csv and statistics.csv of all results in a folder."""

    results: Path
    out: Path
    parquet: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument(
            "results", type=path, metavar="RESULTS", help="a folder that `segment`, `import` or the node wrote"
        )
        add_out(parser, "the folder to write the tables into")
        parser.add_argument("--parquet", action="store_true", help="write Parquet instead of CSV (needs pyarrow)")

    def run(self, console: Console) -> int:
        """Write the tables of all results that can be read, and name the others."""
        from bonescan.results.batch import write_batch_tables

        failures: list[str] = []

        def unreadable(sentence: str) -> None:
            failures.append(sentence)
            console.error(sentence)

        with needs_extra("parquet"):
            number = write_batch_tables(self.results, self.out, self.parquet, unreadable)
        kind = "parquet" if self.parquet else "csv"
        console.out(f"lesions.{kind}, studies.{kind} and statistics.{kind} of {number} results are in {self.out}.")
        console.out(RESEARCH_USE_ONLY)
        return SOME_FAILED if failures else DONE
