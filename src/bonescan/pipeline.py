"""The pipeline: one study in, its lesions out. Read this first.

::

    read_study -> prepare -> predict -> delineate -> measure -> assess -> Result -> write_result

Every stage takes a value and hands over a value; each name leads to the one module that does it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bonescan.annotate.label_json import counts_digests
from bonescan.assess import assess, check_quality
from bonescan.assess.burden import with_intervals
from bonescan.bundle import LEARNED_FROM, Bundle, load_bundle
from bonescan.errors import InputError, OptionError
from bonescan.lesions.delineate import candidates_below, delineate
from bonescan.lesions.drawn import DrawnLesion, outlines_of
from bonescan.lesions.measure import measure
from bonescan.predict import Predictor
from bonescan.prediction import Prediction
from bonescan.prepare import PrepareOptions, Region, Window, prepare
from bonescan.study import Extent, FloatImage, ModelName, Result, Scan, Study, View
from bonescan.system.kept import DEFAULT_MODEL as DEFAULT_MODEL
from bonescan.system.kept import model_in_use


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A loaded model: its bundle, and the predictor that runs its network. Load once, use for many studies."""

    bundle: Bundle
    predictor: Predictor

    @property
    def name(self) -> ModelName:
        """What a result says of the model that made it."""
        return ModelName(self.bundle.name, self.bundle.sha256)


@dataclass(frozen=True, slots=True)
class Options:
    """What to look at.

    region: "whole-body", or "thorax" for the thoracic window that is found in the scan; None: what the model knows,
        which is the whole body where its bundle does not say otherwise.
    rows: the first row and the one after the last of the thoracic window, stated by a person: it
        takes the place of the window that would be found, over all columns, and the region is the thorax.
    operating_point: of the model's bundle: how sure it must be of a lesion.
    draws: how often the counts are drawn again for the intervals of the burden; 0: no intervals.
    """

    region: Region | None = None
    rows: tuple[int, int] | None = None
    operating_point: str = "balanced"
    draws: int = 0

    def region_for(self, bundle: Bundle) -> Region:
        """The region that is looked at; OptionError for one that the model has not learned."""
        region = "thorax" if self.rows is not None else self.region or bundle.region
        if region == "whole-body" and bundle.region == "thorax":
            raise OptionError(f"the model {bundle.name} has learned the thorax alone: leave --region whole-body out")
        return region

    def prepare_options(self, study: Study, region: Region) -> PrepareOptions:
        """These options for one study; OptionError when the rows are no range."""
        window = None if self.rows is None else Window(slice(*self.rows), slice(0, study.shape[1]))
        return PrepareOptions(region, window)


def load_model(name_or_folder: str | Path | None = DEFAULT_MODEL) -> Model:
    """Load a model that ships or is kept (`bonescan model add`), by name, or any other, by its bundle's folder. The
    default is the same on every machine; None loads the one that the commands use (`bonescan model use`).

    Raises BundleError when there is none, or when a file of it does not have the hash that it states.
    """
    bundle = load_bundle(model_in_use() if name_or_folder is None else name_or_folder)
    return Model(bundle, Predictor(bundle))


def segment(study: Study | InputError, model: Model, options: Options | None = None) -> Result:
    """Find, outline and measure the lesions of one study. Research use only.

    Raises OptionError when a stated window leaves the frame, or the model has not learned the region, and the error
    that `read_studies` yields in the place of a study.
    """
    if isinstance(study, InputError):
        raise study
    return segment_with_maps(study, model, options)[0]


def _with_intervals(extent: Extent, study: Study, model: Model, options: Options) -> Extent:
    """Segment the study again and again with Poisson counts of its own; the same study has the same intervals."""
    rng = np.random.default_rng(0x1B7)
    once = replace(options, draws=0)
    drawn = []
    for _ in range(options.draws):
        scans = {view: Scan(view, _drawn(scan.counts, rng)) for view, scan in study.scans.items()}
        again = segment_with_maps(replace(study, scans=scans), model, once)[0].extent
        drawn += [] if again is None else [again]
    return with_intervals(extent, drawn)


def _drawn(counts: FloatImage, rng: np.random.Generator) -> FloatImage:
    return rng.poisson(counts).astype(np.float32)


def segment_with_maps(study: Study, model: Model, options: Options | None = None) -> tuple[Result, Prediction]:
    """As `segment`; also return the model's maps, by which a scan is laid over another of the same patient."""
    options = options or Options()
    region = options.region_for(model.bundle)
    prepared = prepare(study, options.prepare_options(study, region), model.bundle.normalisation)
    prediction = model.predictor.predict(prepared)
    thresholds = model.bundle.at(options.operating_point).at_binning(prepared.binning)
    outlines = delineate(prediction, thresholds)
    lesions, burden = measure(study, outlines, prediction)
    lesions, extent = assess(study, lesions, prediction, region)
    if options.draws and extent is not None:
        extent = _with_intervals(extent, study, model, options)
    quality = check_quality(study, prediction, region)
    result = Result(
        study=study,
        model=model.name,
        lesions=lesions,
        burden=burden,
        window=prepared.window.slices,
        region=region,
        warnings=(
            *study.warnings,
            *prepared.warnings,
            *model.bundle.warnings,
            *_if_learned_from(study, model.bundle),
            *(check.said for check in quality if check.poor),
        ),
        operating_point=options.operating_point,
        candidates=candidates_below(prediction, thresholds, outlines),
        extent=extent,
        quality=quality,
    )
    return result, prediction


def _if_learned_from(study: Study, bundle: Bundle) -> tuple[str, ...]:
    """The warning that the model learned from a view of this study, where that is known."""
    if not bundle.learned_from or bundle.learned_from.isdisjoint(counts_digests(study).values()):
        return ()
    return (LEARNED_FROM,)


def adopt(
    study: Study,
    drawn: Sequence[DrawnLesion],
    model: Model,
    reader: str | None,
    views: Collection[View] | None = None,
    window: Window | None = None,
) -> Result:
    """Measure lesions that a person drew, as `segment` measures its own. Research use only.

    The model tells the bones apart, where a lesion does not state its region; it adds and removes no lesion.
    reader: who drew; None only where the curves are the model's own, come back unchanged.
    views: those that were read, with or without lesions (default: all); of any other, a warning says so.
    window: the thoracic window in which they were drawn; None: all that the model knows.
    """
    region = Options().region_for(model.bundle) if window is None else "thorax"
    prepared = prepare(study, PrepareOptions(region, window), model.bundle.normalisation)
    prediction = model.predictor.predict(prepared)
    outlines, changes = outlines_of(drawn, prediction.region)
    lesions, burden = measure(study, outlines, prediction)
    lesions, extent = assess(study, lesions, prediction, region)
    quality = check_quality(study, prediction, region)
    return Result(
        study=study,
        model=model.name,
        lesions=lesions,
        burden=burden,
        window=prepared.window.slices,
        region=region,
        warnings=(
            *study.warnings,
            *prepared.warnings,
            # Of a reader's curves the model only names the bones; its own curves have all warnings that they had.
            *((*model.bundle.warnings, *_if_learned_from(study, model.bundle)) if reader is None else ()),
            *(check.said for check in quality if check.poor),
            *changes,
            *(
                f"no curves were given for the {view} view, so it counts as a view without lesions"
                for view in study.scans
                if views is not None and view not in views
            ),
        ),
        reader=reader,
        extent=extent,
        quality=quality,
    )
