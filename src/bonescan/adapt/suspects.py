"""Suspects: foci on scans reported as normal that may be lesions. The loss ignores them; they are listed for review.

A focus is suspect if the base model calls it a lesion, and the updated model still does so, on the scan and on the
mirrored scan. The updated model has learned that the scan has no lesion. The mirrored scan rules out an effect of the
side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from torch import nn

from bonescan.adapt.scans import LearnedScan
from bonescan.adapt.settings import AdaptConfig
from bonescan.lesions.delineate import Outline, Thresholds, delineate
from bonescan.prediction import Prediction
from bonescan.study import FloatImage, Mask, View
from bonescan.train.config import TrainConfig
from bonescan.train.inference import predict_case

_CHANNEL = {view: channel for channel, view in enumerate(View)}
_MARGIN_PX = 3


@dataclass(frozen=True, slots=True)
class Suspect:
    """One suspect focus.

    scan: the scan's number. row, col: the centre in the frame as acquired, at the network's pixel size. probability:
    the updated model's largest in the focus, on the scan or on the mirrored scan, whichever is lower.
    """

    scan: int
    focus: int
    view: View
    region: str
    row: int
    col: int
    probability: float


def foci_of(scan: LearnedScan, thresholds: Thresholds, config: AdaptConfig) -> tuple[Outline, ...]:
    """The foci that the base model calls lesions, both views seen from the front; always in the same order."""
    sure = replace(thresholds, high=max(thresholds.low, config.suspect_probability))
    maps = {view: scan.probability[channel].astype(np.float32) for view, channel in _CHANNEL.items()}
    regions = {view: scan.scene.regions[channel] for view, channel in _CHANNEL.items()}
    return delineate(Prediction(maps, regions), sure)


def find_suspects(
    scans: Sequence[LearnedScan],
    foci: Sequence[Sequence[Outline]],
    network: nn.Module,
    config: AdaptConfig,
    train_config: TrainConfig,
) -> list[Suspect]:
    """The base model's foci that the updated network also calls lesions, on the scan and on the mirrored scan."""
    found = []
    for scan, own in zip(scans, foci, strict=True):
        if not own:
            continue
        straight, _ = predict_case(network, scan.plain(), train_config)
        mirrored, _ = predict_case(network, scan.mirrored(), train_config)
        for number, focus in enumerate(own):
            sure = min(_largest(straight, focus), _largest(mirrored[:, :, ::-1], focus))
            if sure >= config.suspect_probability:
                found.append(_suspect(scan, number, focus, sure))
    return found


def unknown_pixels(
    scans: Sequence[LearnedScan], foci: Sequence[Sequence[Outline]], suspects: Sequence[Suspect]
) -> dict[int, Mask]:
    """The pixels (2, rows, cols) of each scan's suspects, with a margin, by the scan's number."""
    masks: dict[int, Mask] = {}
    places = {scan.number: place for place, scan in enumerate(scans)}
    for suspect in suspects:
        if suspect.scan not in places:
            continue
        place = places[suspect.scan]
        mask = masks.setdefault(suspect.scan, np.zeros(scans[place].counts.shape, dtype=np.bool_))
        focus = foci[place][suspect.focus]
        mask[_CHANNEL[focus.view]][focus.window] |= focus.mask
    return {number: np.stack([_widened(view) for view in mask]) for number, mask in masks.items()}


def _widened(mask: Mask) -> Mask:
    """A mask (rows, cols) with a margin: the edge of an unknown focus is unknown, too."""
    return np.asarray(ndimage.binary_dilation(mask, iterations=_MARGIN_PX))


def _largest(probability: FloatImage, focus: Outline) -> float:
    return float(probability[_CHANNEL[focus.view]][focus.window][focus.mask].max())


def _suspect(scan: LearnedScan, number: int, focus: Outline, probability: float) -> Suspect:
    rows, cols = np.nonzero(focus.mask)
    row, col = focus.origin[0] + round(float(rows.mean())), focus.origin[1] + round(float(cols.mean()))
    if focus.view is View.POSTERIOR:  # back to how it was acquired
        col = scan.counts.shape[2] - 1 - col
    return Suspect(scan.number, number, focus.view, str(focus.region), row, col, round(probability, 3))
