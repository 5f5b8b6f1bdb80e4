"""From a TOML file to a bundle: check the configuration, simulate, train, fit thresholds, export."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file
from torch import nn

from bonescan.bundle import SCANS, Bundle, load_bundle
from bonescan.configuration import config_from_dict
from bonescan.errors import OptionError
from bonescan.lesions.delineate import OPERATING_POINTS, Thresholds
from bonescan.report.words import counted
from bonescan.system.plugins import Registry, described
from bonescan.train.augment.parameters import refuse_impossible
from bonescan.train.calibrate import calibrate, quick_figures
from bonescan.train.cases import Case, CaseList, Growth, Loaded, Split, groups_of, spread
from bonescan.train.cohort import cohort_digest, cohort_split, view_digests
from bonescan.train.config import ImagesConfig, TrainConfig, read_config
from bonescan.train.export import SOURCES, Learned, averaged_network, export
from bonescan.train.inference import device_of
from bonescan.train.loop import CHECKPOINT, START, refuse_other_run, start, train
from bonescan.train.phantoms import Simulation, phantom_split, read_shard, simulation_digest, validation_shards
from bonescan.train.progress import Note, Progress, Report, silent, unsaid
from bonescan.train.stream import known_views
from bonescan.train.trial import try_out

IMAGE_SOURCES = Registry["ImageSource"]("bonescan.image_sources")
BUNDLE = "bundle"
CALIBRATION = "calibration.json"


class ImageSource(Protocol):
    """A reader of the data sets that `images.folder` names."""

    def split(self, config: ImagesConfig) -> Split:
        """The cases for training and validation, with the labels that are used."""

    def digest(self, config: ImagesConfig) -> str:
        """A hash of the content of the set."""


def image_source() -> ImageSource:
    """The plug-in that reads data sets; OptionError where there is none."""
    if "dataset" not in IMAGE_SOURCES:
        raise OptionError("images.folder asks for the package bonescan.lin2022, which is not here: install it")
    return IMAGE_SOURCES["dataset"]


def image_split(config: ImagesConfig) -> Split:
    """The cases of a data set; OptionError where the plug-in returns something else."""
    split = image_source().split(config)
    if not isinstance(split, Split):
        raise OptionError(
            f"the image source {IMAGE_SOURCES.origin('dataset')} returned {described(split)}, not a Split of cases: "
            "correct the plug-in"
        )
    return split


def run_from_toml(path: Path, overrides: Sequence[str] = (), report: Report = silent, note: Note = unsaid) -> Path:
    """Read a configuration, then `run` it. overrides: "key=value" or "table.key=value"."""
    return run(read_config(path, overrides), report, note)


def run(config: TrainConfig, report: Report = silent, note: Note = unsaid) -> Path:
    """Do everything from the simulation to the bundle, or continue where it stopped; return the run's folder.

    note: called before the training with one sentence about what it learns from and what it keeps for validation, and
    with another one where all steps were done before.
    The bundle is written to the folder's `bundle` after the last step. A run that `max_minutes` ends earlier leaves
    its checkpoint, which `export_run` can make a bundle of. Raises OptionError when there is nothing to learn from.
    """
    check_config(config)
    with Simulation() as simulation:
        split = make_split(config, report, simulation)
        pin_sources(config, split)
        if not config.images.folder:
            note(sides(split))
            for warning in (*split.warnings, *without_outlines(split)):
                note(f"warning: {warning}")
        if is_trained(config):
            note(f"all {config.steps} steps were done before: only the thresholds are fitted and the model exported")
        folder = train(config, split, report)
        if averaged_network(config)[1] < config.steps:
            return folder
        fit_thresholds(config, split, report)
    export_run(folder, folder / BUNDLE)
    report(Progress("export", 1, 1))
    return folder


def make_split(config: TrainConfig, report: Report = silent, simulation: Simulation | None = None) -> Split:
    """All cases that the configuration names: a data set's images, or else a cohort and phantoms.

    simulation: simulates the anatomies that the training does not begin with; None = all are simulated first.
    """
    if config.images.folder:
        return image_split(config.images)
    # The cohort comes first: it may be refused, and the simulation takes minutes.
    labelled = cohort_split(config.cohort, config.normalisation) if config.cohort.folder else Split([], [])
    if not config.phantoms.anatomies:
        if not labelled.training:
            raise OptionError("there is no patient to learn from: set phantoms.anatomies or cohort.folder")
        return labelled
    simulated = phantom_split(
        config.phantoms,
        config.normalisation,
        lambda done, total: report(Progress("phantoms", done, total)),
        simulation,
    )
    return joined(labelled, simulated, config)


def sides(split: Split) -> str:
    """Say how much a training learns from, and how much it keeps; outlines are counted in each view.

    Simulated patients are only counted, as some of them may not be there yet.
    """
    learned, kept = (_counted(part) for part in (split.training, split.validation))
    return f"learns from {learned}, keeps {kept} for validation"


def without_outlines(split: Split) -> tuple[str, ...]:
    """A warning where no case to learn from can have a lesion: labelled patients alone, and none with an outline."""
    labelled = _labelled(split.training)
    if not labelled or len(labelled) < len(split.training) or any(case.facts.lesion_rows for case in labelled):
        return ()
    return (
        "no patient to learn from has an outline, and a model that is shown no lesion learns to mark nothing: label "
        "patients with lesions, or set phantoms.anatomies",
    )


def _counted(cases: Sequence[Case]) -> str:
    """The labelled patients with their outlines, and the simulated ones."""
    labelled = _labelled(cases)
    simulated = len(cases) - len(labelled)
    patients, outlines = len(groups_of(labelled)), sum(len(case.facts.lesion_rows) for case in labelled)
    said = [f"{counted(patients, 'patient')} ({counted(outlines, 'outline')})"] if patients or not simulated else []
    said += [f"{counted(simulated, 'simulated patient')}"] if simulated else []
    return " and ".join(said)


def _labelled(cases: Sequence[Case]) -> list[Case]:
    """The cases of a cohort; simulated ones, which may not be there yet, are not read."""
    sources = cases.sources if isinstance(cases, CaseList) else (Loaded(cases),)
    return [case for source in sources if isinstance(source, Loaded) for case in source.cases]


def joined(labelled: Split, simulated: Split, config: TrainConfig) -> Split:
    """Labelled patients and phantoms in one split. Phantoms are added during the training if it begins with fewer."""
    assert isinstance(simulated.training, CaseList)
    assert isinstance(simulated.validation, CaseList)
    training = CaseList([Loaded(labelled.training), *simulated.training.sources])
    # Phantoms first: validations during the training use the first sources, the final figures use all.
    validation = CaseList([*simulated.validation.sources, Loaded(labelled.validation)])
    first = config.phantoms.first_anatomies
    growth = Growth(training, 1 + first, round(config.phantoms.all_after * config.steps)) if first else None
    return Split(training, validation, growth, labelled.warnings)


def pin_sources(config: TrainConfig, split: Split) -> None:
    """Record the digests of what a run learns from: data set, or cohort and simulation.

    Raises OptionError if it began with others. A run of before cohorts had digests goes on, with the one of now.
    """
    labelled = [*_labelled(split.training), *_labelled(split.validation)]
    source = _sources(config, labelled)
    _refuse_other_sources(config, source, f"choose another name, or remove {config.folder}")
    config.folder.mkdir(parents=True, exist_ok=True)
    (config.folder / SOURCES).write_text(json.dumps(source) + "\n", encoding="utf-8")
    scans = view_digests(labelled) if config.cohort.folder else []
    before = load_bundle(config.begin_with).learned_from if config.begin_with else ()
    (config.folder / SCANS).write_text(json.dumps(sorted({*scans, *before})) + "\n", encoding="utf-8")


def _sources(config: TrainConfig, labelled: Sequence[Case]) -> dict[str, str]:
    """The digests of what a run learns from. labelled: all cases of its cohort."""
    if config.images.folder:
        digest = image_source().digest(config.images)
        if not isinstance(digest, str):
            raise OptionError(
                f"the image source {IMAGE_SOURCES.origin('dataset')} returned {described(digest)} as its digest, not "
                "text: correct the plug-in"
            )
        return {"dataset": digest}
    source = {"phantom": simulation_digest()} if config.phantoms.anatomies else {}
    if config.cohort.folder:
        source["cohort"] = cohort_digest(labelled)
    return source


def _refuse_other_sources(config: TrainConfig, source: dict[str, str], remedy: str) -> None:
    """Raise OptionError where a run began with other sources than there are now; remedy: what to do about it."""
    path = config.folder / SOURCES
    if not path.exists():
        return
    began = json.loads(path.read_text(encoding="utf-8"))
    if "cohort" in source and began.setdefault("cohort", source["cohort"]) != source["cohort"]:
        raise OptionError(
            f"the run {config.name} began with other scans or labels in the cohort than there are now: {remedy}"
        )
    if began != source:
        raise OptionError(
            f"the run {config.name} began with another data set or simulation than there is now: {remedy}"
        )


def is_trained(config: TrainConfig) -> bool:
    """Whether the run's checkpoint has learned all steps."""
    return (config.folder / CHECKPOINT).is_file() and averaged_network(config)[1] >= config.steps


def fit_thresholds(config: TrainConfig, split: Split, report: Report = silent) -> dict[str, Thresholds]:
    """Fit the thresholds of all operating points on the run's validation cases; keep them beside the checkpoint.

    Without such cases they are those of `Thresholds()`, and there are no figures.
    """
    torch.set_num_threads(config.threads)
    network, steps = averaged_network(config)
    cases = [case for case in split.validation if any(known_views(case, config))]
    points, figures = dict.fromkeys(OPERATING_POINTS, Thresholds()), dict[str, Any]()
    if cases:
        points, fitted = calibrate(network, cases, config, report)
        figures = asdict(fitted)
        if config.begin_with and fitted.lesions:
            figures["beginning"] = compared_with_beginning(network, cases, config)
    # Simulated patients have region maps; those of an unfinished run are not in its split.
    simulated = config.phantoms.anatomies > 0 and not config.images.folder
    regions = simulated or any(case.facts.has_regions for case in split.training)
    thresholds = {name: point.to_dict() for name, point in points.items()}
    kept = {"steps": steps, "operating_points": thresholds, "figures": figures, "regions": regions}
    (config.folder / CALIBRATION).write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    numbers = {name: value for name, value in figures.items() if isinstance(value, int | float)}
    if cases:
        report(Progress("calibrate", len(cases), len(cases), None, numbers))
    return points


def compared_with_beginning(network: nn.Module, cases: Sequence[Case], config: TrainConfig) -> dict[str, Any]:
    """The pooled Dice of outlines at a probability of 0.5 of the model that a run began with and of what it has become.

    Both on the same validation cases, at most `validation_cases`.
    """
    chosen = spread(cases, config.validation_cases)
    beginning = start(config).network
    if (config.folder / START).exists():  # another bundle may have the name by now
        beginning.load_state_dict(load_file(config.folder / START))
    before, after = (quick_figures(one, chosen, config)["dice"] for one in (beginning, network))
    return {"model": load_bundle(config.begin_with).name, "dice_before": before, "dice_after": after}


def export_run(folder: Path, out: Path, report: Report = silent) -> Bundle:
    """Write the bundle of a run's folder to `out`, with the thresholds that were fitted for it.

    If they were not fitted for the checkpoint's steps (the run is unfinished), they are fitted first, on the validation
    cases that exist by now. Raises OptionError when the folder holds no run, or one that has learned nothing yet, or
    where thresholds would be fitted on other patients or labels than those that the run began with.
    """
    folder = Path(folder)
    for file, remedy in (("config.json", "give the folder of a run"), (CHECKPOINT, "let `bonescan train` go on")):
        if not (folder / file).is_file():
            raise OptionError(f"there is no {file} in {folder}: {remedy}")
    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    # The folder may have been moved since.
    config: TrainConfig = config_from_dict(TrainConfig, values | {"runs": str(folder.resolve().parent)})
    try:
        device_of(config)
    except OptionError:  # it was trained on another machine
        config = replace(config, device="auto")
    if config.folder.resolve() != folder.resolve():
        raise OptionError(f"the run in {folder} is named {config.name}: give the folder that name")
    if not is_fitted(config):
        fit_thresholds(config, split_so_far(config), report)
    kept = json.loads((folder / CALIBRATION).read_text(encoding="utf-8"))
    points = {name: Thresholds.from_dict(values) for name, values in kept["operating_points"].items()}
    return export(config, Learned(points, kept["figures"], kept.get("regions") is not False), Path(out))


def is_fitted(config: TrainConfig) -> bool:
    """Whether thresholds were fitted for the checkpoint's steps."""
    path = config.folder / CALIBRATION
    if not path.is_file():
        return False
    _, steps = averaged_network(config)
    kept = json.loads(path.read_text(encoding="utf-8"))
    return "operating_points" in kept and bool(kept.get("steps", steps) == steps)


def split_so_far(config: TrainConfig) -> Split:
    """The labelled patients to learn from, and the validation cases that can be read now.

    Simulated patients to learn from are left out, and so are validation cases that are not simulated yet. Raises
    OptionError where there are validation cases, and the run began with other sources than there are now.
    """
    if config.images.folder:
        labelled = image_split(config.images)
        cases = list(labelled.validation)
    else:
        labelled = cohort_split(config.cohort, config.normalisation) if config.cohort.folder else Split([], [])
        shards = validation_shards(config.phantoms, config.normalisation) if config.phantoms.anatomies else []
        cases = [case for shard in shards if shard.folder.exists() for case in read_shard(shard)]
        cases += labelled.validation
    if cases:
        source = _sources(config, [*labelled.training, *labelled.validation])
        _refuse_other_sources(config, source, "bring those back, or train again under another name")
    return Split(labelled.training, cases)


def check_config(config: TrainConfig) -> None:
    """Raise OptionError for networks and methods that `try_out` refuses, and for wrong numbers, devices and folders."""
    _check_numbers(config)
    device_of(config)
    try_out(config)
    _check_folders(config)
    if config.begin_with:
        load_bundle(config.begin_with)
    refuse_other_run(config)


def _check_numbers(config: TrainConfig) -> None:
    phantoms = config.phantoms
    least = {
        "seed": (config.seed, 0),
        "warmup_steps": (config.warmup_steps, 0),
        "threads": (config.threads, 1),
        "checkpoint_every": (config.checkpoint_every, 1),
        "validate_every": (config.validate_every, 1),
        "validation_cases": (config.validation_cases, 1),
        "log_every": (config.log_every, 1),
        "phantoms.anatomies": (phantoms.anatomies, 0),
        "phantoms.patients_per_anatomy": (phantoms.patients_per_anatomy, 1),
        "phantoms.validation_anatomies": (phantoms.validation_anatomies, 0),
        "phantoms.validation_patients_per_anatomy": (phantoms.validation_patients_per_anatomy, 1),
        "phantoms.first_seed": (phantoms.first_seed, 0),
        "phantoms.processes": (phantoms.processes, 1),
    }
    for name, (value, lowest) in least.items():
        if value < lowest:
            raise OptionError(f"{name} is {value}: give a number from {lowest}")
    if config.learning_rate <= 0:
        raise OptionError(f"learning_rate is {config.learning_rate}: give a number above 0")
    if not 0 <= config.start_share < 1:
        raise OptionError(f"start_share is {config.start_share}: give a share from 0 to below 1")
    if config.start_share and not config.begin_with:
        raise OptionError("start_share mixes in the weights of begin_with, which is empty: name a bundle there")
    if config.only and not config.begin_with:
        raise OptionError(
            f"only is {config.only!r}, and begin_with is empty: name the bundle whose other layers to keep"
        )
    if not 0 <= config.cohort.validation_share < 1:
        raise OptionError(
            f"cohort.validation_share is {config.cohort.validation_share}: give a share from 0 to below 1"
        )
    if min(config.crop_weights) < 0 or not sum(config.crop_weights):
        raise OptionError(f"crop_weights is {list(config.crop_weights)}: give weights of at least 0, one above it")
    refuse_impossible(config.augment)
    _ = config.cohort.reading  # refuses views that are none
    rates = config.calibration
    points = (rates.specific_false_positives, rates.most_false_positives, rates.sensitive_false_positives)
    if not 0 <= points[0] <= points[1] <= points[2]:
        raise OptionError(
            f"calibration.specific_false_positives is {points[0]:g}, most_false_positives {points[1]:g} and "
            f"sensitive_false_positives {points[2]:g}: give numbers from 0, none below the one before it"
        )
    if config.images.folder and config.images.set in ("D3", "D4") and config.images.validation_share:
        raise OptionError(
            f"images.validation_share is {config.images.validation_share:g}, and the GAN of {config.images.set} "
            "learned from the patients that it would keep: set it to 0, or images.set to D1 or D2"
        )
    if not (config.images.folder or config.cohort.folder or phantoms.anatomies):
        raise OptionError(
            "the configuration names nothing to learn from: set cohort.folder to labelled scans, phantoms.anatomies to "
            "a number of simulated anatomies, or images.folder to a data set"
        )


def _check_folders(config: TrainConfig) -> None:
    for name, folder in (("cohort.folder", config.cohort.folder), ("images.folder", config.images.folder)):
        if folder and not Path(folder).is_dir():
            raise OptionError(f"{name} is {folder!r}, and there is no such folder: correct it")
    written = {"runs": config.runs}
    if config.phantoms.anatomies and not config.images.folder:
        written["phantoms.cache"] = config.phantoms.cache
    for name, folder in written.items():
        there = Path(folder).absolute()
        while not there.exists() and there != there.parent:
            there = there.parent
        if not (there.is_dir() and os.access(there, os.W_OK)):
            raise OptionError(f"{name} is {folder!r}, where nothing can be written: choose another folder")
