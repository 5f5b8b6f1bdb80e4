"""Every aim beside what was measured. Used by `build_figures.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from figures_base import Results, results


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure and what it should be. digits: after the point."""

    what: str
    aim: float
    reached: float | None
    at_most: bool = False
    digits: int = 3

    @property
    def row(self) -> str:
        """Of the table; a figure that could not be measured misses its aim."""
        kept = self.reached is not None and (self.reached <= self.aim if self.at_most else self.reached >= self.aim)
        reached = "–" if self.reached is None else f"{self.reached:.{self.digits}f}"
        bound = "at most" if self.at_most else "at least"
        return f"| {self.what} | {bound} {self.aim:.{self.digits}f} | {reached} | {'met' if kept else '**missed**'} |"


OF_QUALITY = {
    "dsc_pooled": "pooled Dice",
    "sensitivity_at_0.5": "sensitivity at 0.5 false positives per scan",
    "false_positives_per_scan": "false positives per scan, as shipped",
}
OF_PEOPLE = {
    "marks_per_scan": "outlines per scan without known disease, as shipped",
    "sensitivity_from_contrast_1": "outlines of inserted lesions found, from contrast 1 on",
}
OF_SPEED = {"cold_s": "one study, whole process, s", "further_s": "each further study of a call, s"}
OF_READING = {
    "region_dice": "Dice of the bones in the region map of phantoms, mean",
    "pair_f1": "pairs of the two outlines of a lesion, phantoms: F1",
    "level_within_one": "levels of outlines, phantoms: share within one",
    "index_correlation": "bone scan index, phantoms: correlation with the truth",
    "index_repeat_difference": "bone scan index, phantoms: difference between two scans of a patient, mean",
}
UPPER_LIMITS = {"false_positives_per_scan", "marks_per_scan", "cold_s", "further_s", "index_repeat_difference"}
HELD_OUT_MARGIN = 0.05
"""The held-out family may be so much worse than the standard one."""
PATCHES_AUC = 0.75
"""At most, for patches of phantoms against patches of people."""


def aims_table() -> str:
    """Every aim that has been measured, and whether it is met."""
    aims = [*quality_aims(), *people_aims(), *reading_aims(), *realism_aims()]
    crop = results("thorax_crop")
    aims.append(
        Aim("thoracic window holds the thorax, share", crop["aim"], crop["variants"]["as acquired"]["contained_share"])
    )
    aims += verdict_aims(OF_SPEED, results("speed")["aims"], "")
    lines = ["| figure | aim | reached | met or missed |", "|---|---|---|---|", *(aim.row for aim in aims)]
    return "\n".join(lines) + "\n"


def verdict_aims(names: Mapping[str, str], verdicts: Results, where: str) -> list[Aim]:
    """The aims whose verdict a benchmark has written."""
    return [
        Aim(what + where, verdicts[key]["aim"], verdicts[key]["reached"], key in UPPER_LIMITS)
        for key, what in names.items()
        if isinstance(verdicts.get(key), Mapping)
    ]


def quality_aims() -> list[Aim]:
    """Of the standard family; the held-out family should be as good but for a margin."""
    standard, other = (results(name)["aims"] for name in ("quality", "quality-held-out"))
    aims = verdict_aims(OF_QUALITY, standard, ", standard family")
    for key, what in OF_QUALITY.items():
        reached, upper = standard[key]["reached"], key in UPPER_LIMITS
        if reached is not None:
            aim = reached + (HELD_OUT_MARGIN if upper else -HELD_OUT_MARGIN)
            told = f"{what}, held-out family: within {HELD_OUT_MARGIN} of the standard one"
            aims.append(Aim(told, aim, other[key]["reached"], upper))
    return aims


def people_aims() -> list[Aim]:
    """Of scans of people."""
    report = results("people")
    return verdict_aims(OF_PEOPLE, report["aims"], f", {report['scans']} scans of people")


def reading_aims() -> list[Aim]:
    """Of the reading of a scan and of change, all by the model."""
    read, serial = results("reading"), results("serial")
    reached = {**read["model"], "region_dice": read["region_dice"]["mean"]}
    aims = [Aim(what, read["aims"][key], reached[key], key in UPPER_LIMITS) for key, what in OF_READING.items()]
    return aims + [
        Aim(f"new lesions of phantoms, {key}", aim, serial["model"][key]) for key, aim in serial["aims"].items()
    ]


def realism_aims() -> list[Aim]:
    """Of the phantom against people."""
    realism = results("realism")
    if "regions" not in realism:
        return []
    regions, auc = realism["regions"], realism["patches"]["auc"]
    return [
        Aim(
            "uptake of regions of phantoms within the range of people",
            len(regions["rows"]),
            regions["within"],
            digits=0,
        ),
        Aim("patches, phantom against person: AUC", PATCHES_AUC, auc, at_most=True),
    ]
