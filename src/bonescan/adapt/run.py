"""From folders of scans to an adapted bundle: read, predict, simulate, learn, evaluate, write. Start reading here."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bonescan.adapt.judgement import Verdict, make_bench, verdict, why_worse
from bonescan.adapt.loop import Material, Stop, Stopped, averaged, begin, learn, seconds_a_step
from bonescan.adapt.page import PagedScan, write_page
from bonescan.adapt.plan import Estimate, check_patients, chosen, estimate, kept_aside, pinned, planned, training_config
from bonescan.adapt.result import Lesson, safe_name, write_taught
from bonescan.adapt.scans import LearnedScan, ReadScan, Scans, learned_scan, read_scans
from bonescan.adapt.settings import AdaptConfig, AdaptRequest
from bonescan.adapt.suspects import Suspect, find_suspects, foci_of
from bonescan.bundle import Bundle, load_bundle, refuse_other_files
from bonescan.errors import OptionError
from bonescan.models import from_bundle
from bonescan.prepare import looks_exchanged
from bonescan.prepare.order import EXCHANGED
from bonescan.train.config import TrainConfig
from bonescan.train.export import network_values
from bonescan.train.loop import CHECKPOINT
from bonescan.train.phantoms import phantom_split
from bonescan.train.progress import Note, Pace, Progress, Report, silent, unsaid


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The result of an adaptation.

    bundle: None if it was refused, for the reason `worse`. page: the HTML page. suspects: on all scans.
    suspects_aside: how many of them are on the held-out scans, which nothing was learned from.
    """

    bundle: Bundle | None
    before: Verdict
    after: Verdict
    worse: str | None
    page: Path
    suspects: tuple[Suspect, ...]
    suspects_aside: int


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """Everything that is known before the first step."""

    base: Bundle
    network: nn.Module
    normals: tuple[ReadScan, ...]
    learned: Sequence[LearnedScan]
    aside: Sequence[LearnedScan]
    unlabelled: Sequence[LearnedScan]
    configs: tuple[AdaptConfig, TrainConfig]
    names: dict[int, str]


def adapt(
    request: AdaptRequest,
    config: AdaptConfig | None = None,
    report: Report = silent,
    note: Note = unsaid,
    stop: Stop = lambda: False,
) -> Outcome:
    """Adapt a model to a department's scans, or continue where the same call stopped; write it to `request.out`.

    note: called with one sentence about each scan left out, each scan to look at, and the estimate. stop: called
    between steps. Raises OptionError for scans that cannot be learned from, BundleError for an unsuitable base,
    OutputError where `request.out` holds anything but a bundle, and Stopped when `stop` returns true.
    """
    config = config or AdaptConfig()
    torch.set_num_threads(config.threads)
    refuse_other_files(request.out)
    checked = _checked(report, stop, request.work / CHECKPOINT)
    ready = _prepare(request, config, checked, note)
    adapt_config, train_config = ready.configs
    split = phantom_split(
        train_config.phantoms,
        train_config.normalisation,
        lambda done, total: checked(Progress("simulate", done, total)),
    )
    foci = [foci_of(scan, ready.base.thresholds, adapt_config) for scan in ready.learned]
    material = Material(ready.learned, split.training, ready.unlabelled)
    state = learn(begin(ready.network, train_config), material, foci, ready.configs, report, stop)
    taught = averaged(state, ready.network, adapt_config.base_share)
    bench = make_bench(ready.aside, split.validation, adapt_config, train_config)
    before = verdict(ready.network, bench, train_config, ready.base.thresholds, _staged(checked, "judge before"))
    after = verdict(taught, bench, train_config, None, _staged(checked, "judge after"))
    everyone = [*ready.learned, *ready.aside]
    all_foci = [*foci, *(foci_of(scan, ready.base.thresholds, adapt_config) for scan in ready.aside)]
    suspects = find_suspects(everyone, all_foci, taught, adapt_config, train_config)
    _write_lists(request.work, ready, suspects)
    worse = why_worse(before, after)
    paged = [
        PagedScan(scan.number, scan.counts, *pair)
        for scan, *pair in zip(ready.aside, before.outlines, after.outlines, strict=True)
    ]
    page = write_page(request.work, train_config.name, paged, (before, after), worse)
    bundle, lesson = None, _lesson(ready, suspects)
    if worse is None or request.accept_worse:
        network = from_bundle(ready.base)
        network.load_state_dict(taught.state_dict())
        bundle = write_taught(network, request.out, ready.base, lesson, (before, after), ready.configs)
    return Outcome(bundle, before, after, worse, page, tuple(suspects), lesson.suspects_aside)


def _checked(report: Report, stop: Stop, checkpoint: Path) -> Report:
    """Report with the time left, and stop if told to: what precedes the learning is either kept or repeated."""
    pace = Pace()

    def checked(progress: Progress) -> None:
        report(pace.timed(progress))
        if stop():
            raise Stopped(learned=checkpoint.exists())

    return checked


def _staged(report: Report, stage: str) -> Report:
    """Report under another name of the stage."""
    return lambda progress: report(replace(progress, stage=stage))


def _prepare(request: AdaptRequest, config: AdaptConfig, report: Report, note: Note) -> _Prepared:
    """Read and predict the scans, refuse what cannot be done, and report the estimated cost."""
    base, network = _base(request.base)
    train_config = training_config(base, network_values(network), request, config, safe_name(request.out))
    normals = _read(request, request.normals, "read", report, note)
    check_patients(normals)
    others = Scans(())
    if request.unlabelled:
        others = _read(request, request.unlabelled, "read unlabelled", report, note)
    used = chosen(normals, config.most_scans)
    if len(used) < len(normals.scans):
        note(f"{len(used)} of {len(normals.scans)} scans are used, of {config.most_scans} patients chosen by chance")
    known = {scan.digest for scan in normals.scans}
    unknown = [scan for scan in chosen(others, config.most_scans) if scan.digest not in known]
    aside = kept_aside(used)
    # Held-out patients are in no other part, even if the unlabelled scans include them.
    unknown = [scan for scan in unknown if scan.patient not in aside]
    roles = [("held out" if scan.patient in aside else "normal", scan.digest) for scan in used]
    steps = pinned(request, config, base, [*roles, *(("unlabelled", scan.digest) for scan in unknown)])
    began = time.monotonic()
    looked = _look(used, network, train_config, report, note)
    seconds = (time.monotonic() - began) / max(1, len(used))
    first = len(normals.scans)
    unlabelled = [
        learned_scan(ReadScan(first + number, scan.name, scan.study, scan.patient, scan.digest), network, train_config)
        for number, scan in enumerate(unknown, start=1)
    ]
    apart = [looked[scan.number] for scan in used if scan.patient in aside]
    learned = [looked[scan.number] for scan in used if scan.patient not in aside]
    configs = (config, train_config)
    if steps is None:
        step = seconds_a_step(network, Material(learned, (), unlabelled), configs)
        ahead: Estimate = estimate(config, train_config, (len(learned), len(apart)), (step, seconds))
        note(f"estimate: {ahead}")
        if (said := ahead.too_long_for(config.minutes)) is not None:
            note(said)
        steps = ahead.steps
    names = {scan.number: scan.name for scan in normals.scans}
    names |= {first + number: scan.name for number, scan in enumerate(unknown, start=1)}
    return _Prepared(
        base, network, used, learned, apart, unlabelled, planned(request.work, config, train_config, steps), names
    )


def _base(name: str | Path) -> tuple[Bundle, nn.Module]:
    base = load_bundle(name)
    if base.region == "thorax":
        raise OptionError(f"the model {base.name} knows the thorax alone: begin with one of the whole body")
    network = from_bundle(base)
    if not getattr(getattr(network, "config", None), "regions", 0):
        raise OptionError(
            f"the model {base.name} does not tell the bones apart, so no lesion can be put into one: begin with another"
        )
    return base, network


def _read(request: AdaptRequest, paths: Sequence[Path], stage: str, report: Report, note: Note) -> Scans:
    scans = read_scans(paths, lambda done, total: report(Progress(stage, done, total)), request.reading)
    for sentence in (*scans.left_out, *scans.warnings):
        note(sentence)
    return scans


def _look(
    scans: Sequence[ReadScan], network: nn.Module, train_config: TrainConfig, report: Report, note: Note
) -> dict[int, LearnedScan]:
    looked = {}
    for done, scan in enumerate(scans, start=1):
        one = looked[scan.number] = learned_scan(scan, network, train_config)
        if looks_exchanged(one.counts.astype(np.float32)):
            note(f"{scan.name}: {EXCHANGED}")
        report(Progress("look", done, len(scans)))
    return looked


def _lesson(ready: _Prepared, suspects: Sequence[Suspect]) -> Lesson:
    learned = {scan.number for scan in ready.learned}
    ignored = sum(suspect.scan in learned for suspect in suspects)
    return Lesson(
        scans=len(ready.learned),
        patients=len({scan.facts.group for scan in ready.learned}),
        unlabelled=len(ready.unlabelled),
        aside=len(ready.aside),
        suspects=ignored,
        suspects_aside=len(suspects) - ignored,
        steps=ready.configs[0].steps,
    )


def _write_lists(folder: Path, ready: _Prepared, suspects: Sequence[Suspect]) -> None:
    """Write the number of each input, and the suspects. The lists name files, so they are for the department only."""
    roles = {scan.number: "learned from" for scan in ready.learned}
    roles |= {scan.number: "held out" for scan in ready.aside}
    roles |= {scan.number: "of unknown state" for scan in ready.unlabelled}
    with (folder / "scans.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("scan", "input", "role"))
        writer.writerows((number, ready.names[number], role) for number, role in sorted(roles.items()))
    with (folder / "suspects.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("scan", "input", "view", "region", "row", "column", "probability"))
        writer.writerows(
            (one.scan, ready.names[one.scan], one.view, one.region, one.row, one.col, one.probability)
            for one in suspects
        )
