"""Simulated readers, who differ as people do when they outline what they see in a phantom.

A reader has habits (draws generously or tightly, is alert or not, takes joints for lesions or not) and is not the same
from lesion to lesion. The reader's curve is the true outline, moved by three amounts: the reader's margin, a shift of
the whole curve, and a smooth random field. Every reader misses faint lesions more often. False marks lie on real hot
spots of the counts, so two readers may mark the same one.

Two physicians agree on real planar scans at a Dice of about 0.70, all pixels pooled. With the default `Disagreement`
three readers of 24 phantoms agree at 0.78: `bonescan simulate -o cohort --count 24 --seed 60 --readers 3`, then
`bonescan consensus cohort -o round`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bonescan.phantom.patient import Phantom
from bonescan.study import IS_TRACER, FloatImage, LabelImage, Mask, View

MOST_READERS = 26
"""They are called a, b, c, ..."""

_PAD = 10
"""Pixels around a lesion in which its curve may wander."""
_LEAST_AREA = 4
"""Pixels; nobody draws less."""
_AROUND_PX = 4
"""Pixels this near to a lesion are its background. A hot spot there is not marked separately."""
_HALF_SIGMAS = 10.0
"""Signal-to-noise ratio at which the chance of missing a lesion is half of that at zero."""
_NEIGHBOURS_PX = 2
"""Gap up to which two lesions may be drawn as one."""
_FINE, _COARSE = 1.5, 6.0
"""Standard deviations, pixels, of a hot spot and of what it stands out from."""
_SPOT_LEVEL, _SPOT_RADIUS = 0.45, 7
"""What of a hot spot is outlined: above this share of its peak, within so many pixels of it."""
_MOST_SPOTS = 40
_EIGHT = np.ones((3, 3), dtype=np.bool_)

_Level = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Patch:
    """What may be drawn: a window of the frame, and which of its pixels it is."""

    window: tuple[slice, slice]
    inside: Mask


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How much readers differ; all 0: everybody draws the truth. Lengths are standard deviations in pixels.

    margin: between readers, how far outside (or inside) the outline they draw. lesion_margin: the same from lesion to
    lesion of one reader. wobble: of the curve along its length. shift: of a whole curve, in each direction.
    missed: chance of missing a lesion near the level of the noise. false_marks: hot spots marked by mistake, mean a
    view. faint: chance of drawing a lesion that does not stand out. merged: chance of drawing two neighbours as one.
    """

    margin: float = 0.25
    lesion_margin: float = 0.2
    wobble: float = 0.35
    shift: float = 0.25
    missed: float = 0.4
    false_marks: float = 0.15
    faint: float = 0.1
    merged: float = 0.3


@dataclass(frozen=True, slots=True)
class Reader:
    """One reader: the same from the same seed and number, however many others there are.

    margin: how far outside the outline this one tends to draw, pixels. carelessness, credulity: factors on how much is
    missed and on how much is marked by mistake.
    """

    seed: int
    number: int
    margin: float
    carelessness: float
    credulity: float
    disagreement: Disagreement

    @property
    def name(self) -> str:
        """a, b, c, ..."""
        return chr(ord("a") + self.number)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One view as its readers see it, and what is true of it; each (rows, cols), as acquired.

    lesions: lesion numbers, 0 = none. faint: pixels of lesions that do not stand out. organs: tracer that any
    physician knows to be in kidney, bladder and the like.
    """

    counts: FloatImage
    lesions: LabelImage
    faint: Mask
    organs: Mask


def make_reader(seed: int, number: int, disagreement: Disagreement | None = None) -> Reader:
    """Draw a reader's habits. Raises ValueError for a number beyond 0 .. MOST_READERS - 1."""
    if not 0 <= number < MOST_READERS:
        raise ValueError(f"readers are numbered 0 to {MOST_READERS - 1}, not {number}")
    how = disagreement or Disagreement()
    rng = np.random.default_rng([0x4AB, seed, number])
    margin, carelessness, credulity = rng.normal(size=3)
    return Reader(
        seed, number, how.margin * float(margin), float(np.exp(0.4 * carelessness)), float(np.exp(0.4 * credulity)), how
    )


def read_patient(phantom: Phantom, reader: Reader) -> dict[View, LabelImage]:
    """What a reader draws on both views: label pictures, uint16 (rows, cols), 0 = background, lesions from 1.

    Follows from the reader and the phantom's key alone.
    """
    digest = int.from_bytes(hashlib.sha256(phantom.key.encode()).digest()[:8], "little")
    drawn = {}
    for place, view in enumerate(View):
        rng = np.random.default_rng([0x4AC, reader.seed, reader.number, digest, place])
        drawn[view] = read_view(scene_of(phantom, view), reader, rng)
    return drawn


def scene_of(phantom: Phantom, view: View) -> Scene:
    """One view of a phantom, for its readers."""
    organs = IS_TRACER[phantom.regions[view]]
    return Scene(phantom.study.counts(view), phantom.lesions[view], phantom.faint[view], organs)


def read_view(scene: Scene, reader: Reader, rng: Generator) -> LabelImage:
    """What a reader draws on one view: uint16 (rows, cols), 0 = background, lesions from 1; possibly none."""
    how = reader.disagreement
    targets = [target for target in _lesions(scene, how.merged, rng) if not _misses(scene, target, reader, rng)]
    faint = _patches(ndimage.label(scene.faint, structure=_EIGHT)[0])
    targets += [target for target in faint if rng.random() < how.faint]
    targets += _false_marks(scene, int(rng.poisson(how.false_marks * reader.credulity)), rng)
    picture = np.zeros(scene.lesions.shape, dtype=np.uint16)
    highest = np.zeros(scene.lesions.shape)
    for number, target in enumerate(targets, start=1):
        level = _curve(target.inside, reader, rng)
        wins = level > highest[target.window]
        picture[target.window][wins] = number
        highest[target.window][wins] = level[wins]
    # What a neighbour's curve covered whole is not drawn: numbers have no gaps.
    drawn, index = np.unique(picture, return_inverse=True)
    numbers = np.arange(len(drawn), dtype=np.uint16) + np.uint16(drawn[0] > 0)
    return numbers[index.reshape(picture.shape)]


def _patches(numbered: NDArray[np.integer[Any]]) -> list[_Patch]:
    """Each numbered piece with room around it."""
    patches = []
    for number, box in enumerate(ndimage.find_objects(numbered.astype(np.int32)), start=1):
        if box is not None:
            rows, cols = (
                slice(max(side.start - _PAD, 0), min(side.stop + _PAD, extent))
                for side, extent in zip(box, numbered.shape, strict=True)
            )
            patches.append(_Patch((rows, cols), numbered[rows, cols] == number))
    return patches


def _lesions(scene: Scene, merged: float, rng: Generator) -> list[_Patch]:
    """The true lesions as this reader sees them: one by one, some neighbours as one."""
    count = int(scene.lesions.max())
    pairs = [(number, number) for number in range(count + 1)]
    for patch in _patches(scene.lesions):
        here = scene.lesions[patch.window]
        own = int(here[patch.inside][0])
        near = ndimage.binary_dilation(patch.inside, _EIGHT, iterations=_NEIGHBOURS_PX)
        pairs += [(own, int(other)) for other in np.unique(here[near]) if other > own and rng.random() < merged]
    ends = np.array(pairs).T
    graph = coo_array((np.ones(len(pairs)), (ends[0], ends[1])), shape=(count + 1, count + 1))
    # Background is number 0 and nobody's neighbour: its group is 0.
    group = connected_components(graph, directed=False)[1]
    return _patches(group[scene.lesions])


def _misses(scene: Scene, target: _Patch, reader: Reader, rng: Generator) -> bool:
    """Whether this reader overlooks a lesion: the smaller and fainter it is, the more often."""
    counts, area = scene.counts[target.window], int(target.inside.sum())
    near = ndimage.binary_dilation(target.inside, _EIGHT, iterations=_AROUND_PX)
    around = counts[near & (scene.lesions[target.window] == 0)]
    under = max(float(around.mean()), 1.0) if around.size else 1.0
    sigmas = max(float(counts[target.inside].sum()) - under * area, 0.0) / np.sqrt(under * area)
    half = _HALF_SIGMAS * reader.carelessness
    return bool(rng.random() < reader.disagreement.missed / (1 + (sigmas / half) ** 2))


def _false_marks(scene: Scene, wanted: int, rng: Generator) -> list[_Patch]:
    """Hot spots of the counts that are no lesion, the more striking the likelier; at most `wanted`."""
    if not wanted:
        return []
    fine, coarse = (ndimage.gaussian_filter(scene.counts.astype(np.float64), sigma) for sigma in (_FINE, _COARSE))
    excess = fine - coarse
    known = ndimage.binary_dilation((scene.lesions > 0) | scene.faint | scene.organs, _EIGHT, iterations=_AROUND_PX)
    rows, cols = np.nonzero((fine == ndimage.maximum_filter(fine, 9)) & (excess > 0) & ~known)
    striking = excess[rows, cols] / np.sqrt(coarse[rows, cols] + 1)
    best = np.argsort(-striking, kind="stable")[:_MOST_SPOTS]
    if not best.size:
        return []
    chances = striking[best] ** 2
    chosen = rng.choice(best, size=min(wanted, best.size), replace=False, p=chances / chances.sum())
    spots = np.zeros(excess.shape, dtype=np.int32)
    for number, spot in enumerate(chosen, start=1):
        spots[_spot(excess, (int(rows[spot]), int(cols[spot]))) & ~known] = number
    return [patch for patch in _patches(spots) if patch.inside.sum() >= _LEAST_AREA]


def _spot(excess: _Level, peak: tuple[int, int]) -> Mask:
    """What one would outline of a hot spot: what hangs together with its peak above a share of it."""
    row, col = np.ogrid[: excess.shape[0], : excess.shape[1]]
    near = np.hypot(row - peak[0], col - peak[1]) <= _SPOT_RADIUS
    pieces, _ = ndimage.label(near & (excess >= _SPOT_LEVEL * excess[peak]), structure=_EIGHT)
    return np.asarray(pieces == pieces[peak])


def _curve(target: Mask, reader: Reader, rng: Generator) -> _Level:
    """What a reader draws around a target: above 0 inside the curve, else 0; of the shape of `target`."""
    how = reader.disagreement
    inside = np.pad(target, _PAD)  # beyond the frame, too, so that no edge bends the field
    distance = np.where(
        inside, ndimage.distance_transform_edt(inside) - 0.5, 0.5 - ndimage.distance_transform_edt(~inside)
    )
    depth = float(distance.max())
    margin = reader.margin + how.lesion_margin * float(rng.normal())
    field = _smooth_field(inside.shape, max(1.5, 0.7 * depth), rng)
    moved = ndimage.shift(distance, how.shift * rng.normal(size=2), order=1, mode="nearest")
    # A tight curve stays a curve: no more than half of a small lesion's depth is lost.
    level = moved + max(margin, -0.5 * depth) + how.wobble * field
    return _one_piece(level[_PAD:-_PAD, _PAD:-_PAD])


def _smooth_field(shape: tuple[int, ...], correlation_px: float, rng: Generator) -> _Level:
    """A random field of mean 0 and standard deviation 1 that is alike within `correlation_px`."""
    noise = ndimage.gaussian_filter(rng.normal(size=shape), correlation_px, mode="wrap")
    return np.asarray(noise * 2 * np.sqrt(np.pi) * correlation_px)


def _one_piece(level: _Level) -> _Level:
    """The largest piece above 0 without holes, of at least four pixels; the level is 0 elsewhere."""
    raised = level + max(0.0, 1e-6 - float(np.partition(level.ravel(), -_LEAST_AREA)[-_LEAST_AREA]))
    pieces, count = ndimage.label(raised > 0, structure=_EIGHT)
    largest = 1 + int(np.argmax(np.bincount(pieces.ravel(), minlength=count + 1)[1:]))
    piece = ndimage.binary_fill_holes(pieces == largest)
    return np.where(piece, np.maximum(raised, 1e-6), 0.0)
