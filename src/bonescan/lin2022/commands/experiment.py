"""`bonescan experiment`: the declared experiments, their runs and their results."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

from bonescan.commands.base import (
    DONE,
    NOTHING_DONE,
    RESEARCH_USE_ONLY,
    SOME_FAILED,
    Command,
    Console,
    add_json,
    add_out,
    add_views,
    count,
    names,
    needs_extra,
    path,
    seed,
)

PROFILES = ("smoke", "cpu", "full")
PROFILE = "cpu"
RESULTS = Path("results/experiments")
ALL = "all"


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--results", type=path, default=RESULTS, metavar="FOLDER", help=f"where results are kept (default: {RESULTS})"
    )


def _add_profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", choices=PROFILES, default=PROFILE, help=f"how large to run (default: {PROFILE})")


def _add_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", type=names, metavar="NAME,...", help=f"experiments, joined by commas; {ALL} = every one"
    )


def _chosen(stated: tuple[str, ...]) -> tuple[str, ...]:
    return () if stated == (ALL,) else stated


@dataclass(frozen=True, slots=True)
class ExperimentList(Command):
    """List the experiments: the question of each, and how many of its runs are done."""

    results: Path
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_results(parser)
        add_json(parser)

    def run(self, console: Console) -> int:
        """Print one paragraph per experiment."""
        from bonescan.lin2022.experiments.plan import find, runs_of
        from bonescan.lin2022.experiments.results import Store

        store = Store(self.results)
        listed = []
        for name, experiment in find(()).items():
            counts = {}
            for profile in PROFILES:
                runs = runs_of([experiment], profile)
                counts[profile] = {"runs": len(runs), "there": sum(store.path(run).exists() for run in runs)}
            listed.append({"name": name, "question": experiment.question, "paper": experiment.paper, "runs": counts})
            if not self.json:
                said = ", ".join(f"{profile} {count['there']}/{count['runs']}" for profile, count in counts.items())
                console.out(f"{name}: {experiment.question}")
                console.out(f"    the paper: {experiment.paper}\n    runs there: {said}")
        if self.json:
            console.out_json({"research_use_only": True, "experiments": listed})
            return DONE
        console.out(RESEARCH_USE_ONLY)
        return DONE


@dataclass(frozen=True, slots=True)
class ExperimentRun(Command):
    """Make the missing runs of experiments; may be interrupted at any time, and continues where it stopped."""

    names: tuple[str, ...]
    profile: str
    results: Path
    work: Path
    sets: Path
    again: bool
    dry_run: bool
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_names(parser)
        _add_profile(parser)
        _add_results(parser)
        parser.add_argument(
            "--work",
            type=path,
            default=Path("runs/experiments"),
            metavar="FOLDER",
            help="where unfinished runs are kept (default: runs/experiments)",
        )
        parser.add_argument(
            "--sets",
            type=path,
            default=Path("runs/datasets"),
            metavar="FOLDER",
            help="where data sets are kept, each built when a run needs it (default: runs/datasets)",
        )
        parser.add_argument("--again", action="store_true", help="also repeat runs whose result is of earlier code")
        parser.add_argument(
            "--dry-run", action="store_true", help="only say how many runs there are and how long they take"
        )
        add_json(parser)

    def run(self, console: Console) -> int:
        """Print how many runs are missing and how long they take, and make them."""
        with needs_extra():
            from bonescan.lin2022.experiments.runner import Places, forecast, is_missing, run_all
        from bonescan.lin2022.experiments.plan import find, runs_of

        places = Places(self.results, self.work, self.sets)
        runs = runs_of(find(_chosen(self.names)).values(), self.profile)
        missing = [run for run in runs if is_missing(run, places.store, again=self.again)]
        foretold = forecast([run for run in missing if run.kind != "external"], places.store)
        console.note(
            f"{len(runs)} runs, {len(runs) - len(missing)} of them there already; the others take {foretold}"
            if missing
            else f"{len(runs)} runs, all of them there already"
        )
        if self.dry_run:
            if self.json:
                counts = {"runs": len(runs), "there": len(runs) - len(missing), "seconds": round(foretold.seconds, 1)}
                console.out_json({"research_use_only": True, **counts})
            return DONE
        with console.progress("experiments") as progress:
            outcome = run_all(
                missing,
                places,
                again=self.again,
                report=lambda done, total, stage: progress(done, total, stage=stage),
                say=console.note,
            )
        for name, reason in outcome.refused.items():
            console.error(f"{name} was not run: {reason}")
        if outcome.elsewhere:
            console.note(f"{len(outcome.elsewhere)} runs are being made by another runner")
        if self.json:
            console.out_json({"research_use_only": True, **asdict(outcome)})
        else:
            console.out(f"{len(outcome.made)} runs made; the tables: {self._next}")
            console.out(RESEARCH_USE_ONLY)
        if outcome.refused:
            return SOME_FAILED if outcome.made or len(missing) < len(runs) else NOTHING_DONE
        return DONE

    @property
    def _next(self) -> str:
        """The command that makes the tables of these runs."""
        words = ["bonescan", "experiment", "table", ",".join(self.names)]
        words += [] if self.profile == PROFILE else ["--profile", self.profile]
        words += [] if self.results == RESULTS else ["--results", str(self.results)]
        return shlex.join(words)


@dataclass(frozen=True, slots=True)
class ExperimentTable(Command):
    """Rebuild the tables and figures of experiments from their results alone."""

    names: tuple[str, ...]
    profile: str
    results: Path
    out: Path | None
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_names(parser)
        _add_profile(parser)
        _add_results(parser)
        parser.add_argument(
            "-o", "--out", type=path, metavar="FOLDER", help="write NAME.md, NAME.json and, where it has one, NAME.svg"
        )
        add_json(parser)

    def run(self, console: Console) -> int:
        """Print the tables, and write them if a folder is stated."""
        from bonescan.lin2022.experiments.plan import find
        from bonescan.lin2022.experiments.results import Store
        from bonescan.lin2022.experiments.tables import build, markdown

        store = Store(self.results)
        tables = [build(name, self.profile, store) for name in find(_chosen(self.names))]
        if self.out is not None:
            with needs_extra("experiments"):
                from bonescan.lin2022.experiments.draw import draw
            from bonescan.lin2022.experiments.results import write_text

            for table in tables:
                name = table["experiment"]
                files = {f"{name}.md": markdown(table), f"{name}.json": json.dumps(table, indent=2) + "\n"}
                picture = draw(table, store)
                if picture is not None:
                    files[f"{name}.svg"] = picture
                for file, text in files.items():
                    write_text(self.out / file, text)
        if self.json:
            console.out_json({"research_use_only": True, "tables": tables})
            return DONE
        for table in tables:
            console.out(markdown(table))
        console.out(RESEARCH_USE_ONLY)
        return DONE


@dataclass(frozen=True, slots=True)
class ExperimentOwn(Command):
    """Compare the package's U-Net, a plain U-Net and nnU-Net on a labelled cohort; goes on where it stopped."""

    cohort: Path
    out: Path
    profile: str
    images: int | None
    seed: int
    views: tuple[str, ...] | None
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument("cohort", type=path, metavar="COHORT", help="labelled scans, as `bonescan dataset` takes")
        add_out(parser, "the folder of the comparison: data set, results, table.json and table.md")
        _add_profile(parser)
        parser.add_argument(
            "--images",
            type=count,
            metavar="N",
            help="images in all, geometric copies included (default: 24 for smoke, else 2280)",
        )
        parser.add_argument(
            "--seed", type=seed, default=1, metavar="S", help="of the division of patients and the copies (default: 1)"
        )
        add_views(parser)
        add_json(parser)

    def run(self, console: Console) -> int:
        """Make what is missing, and print the table of what is there."""
        with needs_extra():
            from bonescan.lin2022.experiments.own import OwnOptions, compare_own
        from bonescan.dicom.values import stated_views
        from bonescan.lin2022.experiments.tables import markdown

        with console.progress("comparison") as progress:
            outcome, table = compare_own(
                OwnOptions(self.cohort, self.profile, self.images, self.seed, stated_views(self.views)),
                self.out,
                lambda done, total, stage: progress(done, total, stage=stage),
                console.note,
            )
        for name, reason in outcome.refused.items():
            console.error(f"{name} was not run: {reason}")
        if outcome.refused:
            console.note("When that is done, the same command goes on with what was not run.")
        if self.json:
            console.out_json(table)
        else:
            console.out(markdown(table))
            console.out(RESEARCH_USE_ONLY)
        if outcome.refused:
            return SOME_FAILED if outcome.made or outcome.there else NOTHING_DONE
        return DONE
