"""Tables from results alone: means over seeds with their spread, differences with intervals, a verdict on each claim.

The same results give the same bytes. What is missing is said to be missing. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bonescan.evaluate.statistics import Bootstrap, summary
from bonescan.lin2022.experiments.declared import Arm, Claim, Experiment
from bonescan.lin2022.experiments.plan import find, runs_of_arm
from bonescan.lin2022.experiments.results import ImageResult, Result, Store
from bonescan.lin2022.experiments.scores import MEASURES, Scored, Verdict, interval, judge, of_target, scored

HEADINGS = {
    "dsc": "DSC",
    "cpa": "CPA",
    "recall": "Recall",
    "dsc_pooled": "DSC, pooled",
    "sensitivity": "lesion sensitivity",
    "precision": "lesion precision",
}
COSTS = ("parameters", "multiply_adds_per_pair", "training_seconds", "test_seconds_per_image")
BOOTSTRAP = Bootstrap()
_DIGITS = 4
"""Of scores in JSON: the last bits of a sum may differ between processors."""
_EARLIER, _NOT_RUN = "earlier code", "not run: it is a program of others, with an environment of its own (make nnunet)"


@dataclass(frozen=True, slots=True, eq=False)
class ArmResults:
    """What there is of one arm. wanted: how many runs it has in all. earlier: how many are of earlier code."""

    arm: Arm
    wanted: int
    results: tuple[Result, ...]
    earlier: int

    @property
    def seeds(self) -> set[int]:
        """The seeds of the runs that are there."""
        return {int(result.values["seed"]) for result in self.results}

    def only(self, seeds: Collection[int]) -> ArmResults:
        """With the runs of these seeds alone."""
        return replace(self, results=tuple(one for one in self.results if one.values["seed"] in seeds))

    def images(self, experiment: Experiment) -> list[list[ImageResult]]:
        """The test images of each run, those that the experiment is about."""
        return [of_target(result.images, experiment.target) for result in self.results]


def gather(experiment: Experiment, profile: str, store: Store) -> tuple[ArmResults, ...]:
    """Read what there is of an experiment."""
    gathered = []
    for arm in experiment.arms:
        runs = runs_of_arm(arm, experiment, profile)
        read = [(run, store.read(run)) for run in runs]
        there = [(run, result) for run, result in read if result is not None]
        earlier = sum(not store.is_current(result, run) for run, result in there)
        gathered.append(ArmResults(arm, len(runs), tuple(result for _, result in there), earlier))
    return tuple(gathered)


def build(name: str, profile: str, store: Store) -> dict[str, Any]:
    """One experiment's table as JSON values. Raises OptionError for an unknown name."""
    return table_of(name, find([name])[name], profile, store)


def table_of(name: str, experiment: Experiment, profile: str, store: Store) -> dict[str, Any]:
    """The table of an experiment, whether it is one of the declared ones or not."""
    arms = gather(experiment, profile, store)
    found = {one.arm.label: one for one in arms}
    return {
        "research_use_only": True,
        "experiment": name,
        "profile": profile,
        "question": experiment.question,
        "paper": experiment.paper,
        "target": experiment.target,
        "arms": [_row(one, experiment) for one in arms],
        "claims": [_claim(claim, found, experiment) for claim in experiment.claims],
    }


def markdown(table: Mapping[str, Any]) -> str:
    """The same for readers."""
    lines = [
        f"# {table['experiment']}",
        table["question"] + (f"\n\nThe paper: {table['paper']}" if table["paper"] else ""),
        _about(table),
        _grid(("", "seeds", *HEADINGS.values()), [_scores(row) for row in table["arms"]]),
        _grid(
            ("", "parameters", "multiply-adds per pair", "training, s", "test, s per image", "note"),
            [_costs(row) for row in table["arms"]],
        ),
    ]
    if table["claims"]:
        lines.append("\n".join(f"- {sentence(claim)}" for claim in table["claims"]))
    return "\n\n".join(lines) + "\n"


def sentence(claim: Mapping[str, Any]) -> str:
    """The verdict on one claim, in words."""
    said = f"{claim['claim']}: **{claim['word']}**"
    if claim["word"] == "missing":
        return f"{said} (too few runs)."
    if claim["difference"] is None:
        return f"{said}, as {HEADINGS[claim['measure']]} is undefined."
    interval = "no interval"
    if claim["low"] is not None:
        interval = f"{claim['low']:+.3f} to {claim['high']:+.3f}"
    apart = "" if claim["paired"] else ", on different test images"
    seeds = f"{claim['seeds']} seed{'' if claim['seeds'] == 1 else 's'}"
    return f"{said} ({HEADINGS[claim['measure']]} {claim['difference']:+.3f}, {interval}; {seeds}{apart})."


def _row(one: ArmResults, experiment: Experiment) -> dict[str, Any]:
    row: dict[str, Any] = {"arm": one.arm.label, "runs": one.wanted, "there": len(one.results), "earlier": one.earlier}
    if not one.results:
        return row | {"note": _NOT_RUN if one.arm.kind == "external" else "missing"}
    images = one.images(experiment)
    row["scores"] = {measure: _score(scored(images, measure)) for measure in MEASURES}
    for cost in COSTS:
        values = [result.values.get(cost) for result in one.results]
        known = [float(value) for value in values if value is not None]
        row[cost] = float(np.median(known)) if known else None
    said = sorted({str(result.values["note"]) for result in one.results if "note" in result.values})
    row["code"] = sorted({str(result.values["code"])[:7] for result in one.results})
    if one.earlier:
        said.append(_EARLIER if one.earlier == len(one.results) else f"{one.earlier} of {_EARLIER}")
    return row | {"note": "; ".join(said)}


def _score(one: Scored) -> dict[str, float | int | None]:
    """Mean over seeds, its standard deviation, and the interval over patients and seeds."""
    at_a_glance = summary(one.by_seed)
    low, high = interval(one, BOOTSTRAP)
    values = {"mean": at_a_glance.mean, "sd": at_a_glance.sd, "low": low, "high": high}
    return {"seeds": at_a_glance.n} | {key: None if v is None else round(v, _DIGITS) for key, v in values.items()}


def _claim(claim: Claim, found: Mapping[str, ArmResults], experiment: Experiment) -> dict[str, Any]:
    arms = {"better": found[claim.better], "worse": found[claim.worse]}
    random = {name: one.arm.kind != "classical" for name, one in arms.items()}
    # While runs are missing, only the seeds that both have are compared.
    seeds = [one.seeds for name, one in arms.items() if random[name]]
    shared = set.intersection(*seeds) if seeds else set()
    chosen = {name: one.only(shared) if random[name] else one for name, one in arms.items()}
    sums = {name: scored(one.images(experiment), claim.measure) for name, one in chosen.items() if one.results}
    verdict = judge(sums["better"], sums["worse"], BOOTSTRAP, random) if len(sums) == len(arms) else Verdict("missing")
    values = {key: round(v, _DIGITS) if isinstance(v, float) else v for key, v in asdict(verdict).items()}
    return {"claim": claim.sentence, "better": claim.better, "worse": claim.worse, "measure": claim.measure, **values}


def _about(table: Mapping[str, Any]) -> str:
    target = {
        "views": "Each view against its own truth",
        "union": "The union of both views' lesions against the union of their truths",
    }[table["target"]]
    patients = table.get("patients", "simulated patients")
    budget = f" Budget: {table['budget']}." if "budget" in table else ""
    return (
        f"Profile `{table['profile']}`, {patients}.{budget} {target}; means over test images, then over seeds, ± their "
        "standard deviation. Differences with 95 % intervals, patients and seeds drawn anew together. An image without "
        "lesions has a DSC of 1 where nothing is marked and of 0 where anything is; it has a CPA of 0 where anything "
        "is marked and none otherwise, and no Recall. So a method that finds nothing has a DSC above 0 per image, but "
        "not pooled."
    )


def _grid(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _scores(row: Mapping[str, Any]) -> list[str]:
    seeds = f"{row['there']} of {row['runs']}"
    if "scores" not in row:
        return [row["arm"], seeds, *["missing"] * len(HEADINGS)]
    cells = []
    for measure in HEADINGS:
        score = row["scores"][measure]
        spread = "" if score["sd"] is None else f" ± {score['sd']:.3f}"
        cells.append("undefined" if score["mean"] is None else f"{score['mean']:.3f}{spread}")
    return [row["arm"], seeds, *cells]


def _costs(row: Mapping[str, Any]) -> list[str]:
    shown: dict[str, Callable[[float], str]] = {
        "parameters": lambda value: f"{value:,.0f}",
        "multiply_adds_per_pair": lambda value: f"{value / 1e6:,.0f} M",
        "training_seconds": lambda value: f"{value:,.0f}",
        "test_seconds_per_image": lambda value: f"{value:.3f}",
    }
    cells = ["" if row.get(name) is None else show(row[name]) for name, show in shown.items()]
    return [row["arm"], *cells, row["note"]]
