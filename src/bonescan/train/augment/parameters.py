"""The options of augmentation, and one draw of its parameters.

Parameters are drawn first (`sample`), then applied (`augment.apply`, pure), so that every augmentation can be repeated
and tested.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from bonescan.errors import OptionError

Blob = tuple[float, float, float, float, float]
"""row, col (shares of the crop, 0..1), two standard deviations (pixels), height (share of the skeletal reference)."""

_SMALLEST_PX = {"blur_px": 0.3, "smoothed_px": 0.5, "mottle_px": 1.5}
"""The smallest standard deviation that is drawn for the option that is the largest one."""

_PROBABILITIES = (
    "focus",
    "flip",
    "warp",
    "thin",
    "blur",
    "smoothed",
    "tone",
    "background",
    "cold",
    "hot",
    "mottle",
    "view_dropout",
    "cut",
)


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Frequency and strength of each augmentation. Probabilities are per sample, in 0..1."""

    focus: float = 0.5
    """Probability that the crop is placed around a lesion or a benign finding, if the patient has one; both kinds are
    chosen equally often."""

    flip: float = 0.5
    """Probability of exchanging left and right."""

    warp: float = 0.6
    """Probability of rotation, scale and smooth warp together; otherwise pixels stay as they were counted."""

    rotation_deg: float = 10.0
    """Largest rotation, degrees, either way."""

    scale: float = 0.15
    """Largest relative change of size, either way."""

    anisotropy: float = 0.06
    """Largest relative change of one axis against the other."""

    shift_px: float = 24.0
    """Largest shift along the columns, pixels, either way; rows shift by the choice of the crop."""

    bend_px: float = 5.0
    """Standard deviation of the smooth warp's displacement at its knots, pixels."""

    thin: float = 0.5
    """Probability of a lower dose: less of the expected counts, or binomial thinning of counts, which is the same."""

    least_dose: float = 0.3
    """Smallest share of counts that thinning keeps, drawn log-uniformly up to 1. Below it the noise hides lesions."""

    blur: float = 0.3
    """Probability of blur, as from a worse collimator or a larger distance."""

    blur_px: float = 1.2
    """Largest standard deviation of the blur, pixels; the smallest is 0.3. 0 = no blur."""

    smoothed: float = 0.1
    """Probability that the counts are smoothed after they were counted, as some scanners do before they store them."""

    smoothed_px: float = 0.9
    """Largest standard deviation of that filter, pixels; the smallest is 0.5. 0 = no filter."""

    view_gain: float = 0.12
    """Standard deviation of the logarithm of each view's gain."""

    reference_gain: float = 0.12
    """Standard deviation of the logarithm of the error of the skeletal reference."""

    tone: float = 0.4
    """Probability of a change of tone: normalised picture to the power of gamma."""

    gamma: float = 0.2
    """Standard deviation of the logarithm of gamma."""

    background: float = 0.15
    """Probability of a smooth additive background, as of scatter, haze or an open window."""

    background_height: float = 0.15
    """Its largest height, as a share of the skeletal reference."""

    cold: float = 0.1
    """Probability of a cold rectangle: belt buckle, pacemaker, prosthesis."""

    hot: float = 0.35
    """Probability of hot spots outside the skeleton (contamination, veins), which are not lesions. Large ones are kept
    away from shoulders and arms, where a large hot spot is usually a lesion."""

    mottle: float = 0.6
    """Probability of a random texture of the uptake, each view with its own. Bones of people are uneven in other ways
    than those of the phantom; a small rise at a place where the phantom has none is no lesion for that reason."""

    mottle_strength: float = 0.15
    """Largest standard deviation of the logarithm of that texture."""

    mottle_px: float = 6.0
    """Largest standard deviation of the Gaussian that makes the texture smooth, pixels; the smallest is 1.5. 0 = no
    texture."""

    view_dropout: float = 0.1
    """Probability that one view is missing; its labels are then ignored."""

    cut: float = 0.1
    """Probability that the frame ends inside the patient: no head, no feet."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """One draw. Neutral defaults: applying `Parameters()` changes nothing.

    position: where the crop lies along the rows, 0 (top of the patient) .. 1 (bottom).
    focus: which lesion (0 .. 0.5) or benign finding (0.5 .. 1) the crop is placed around instead; None = none.
    angle_deg, scale_rows, scale_cols, shift_cols_px, bend: the warp; bend is (2, 5, 3), pixels at knots.
    dose: share of counts kept. blur_px, smoothed_px: before and after counting, 0 = none. gains: of the views.
    reference_gain, gamma: 1 = none.
    background: (height, row, col, width): a broad Gaussian, shares of the reference and of the crop.
    cold: (view, row, col, rows, cols), shares of the crop. missing: the view (0, 1) that is dropped.
    hot: (view, blob) each; view 2 = both. mottle: (strength, pixels) of the texture, (0, 0) = none.
    cut: rows kept, as shares of the crop. noise_seed: of all drawn counts.
    """

    position: float = 0.5
    focus: float | None = None
    flip: bool = False
    warp: bool = False
    angle_deg: float = 0.0
    scale_rows: float = 1.0
    scale_cols: float = 1.0
    shift_cols_px: float = 0.0
    bend: tuple[float, ...] = (0.0,) * 30
    dose: float = 1.0
    blur_px: float = 0.0
    smoothed_px: float = 0.0
    gains: tuple[float, float] = (1.0, 1.0)
    reference_gain: float = 1.0
    gamma: float = 1.0
    background: tuple[float, float, float, float] | None = None
    cold: tuple[int, float, float, float, float] | None = None
    hot: tuple[tuple[int, Blob], ...] = ()
    mottle: tuple[float, float] = (0.0, 0.0)
    missing: int | None = None
    cut: tuple[float, float] = (0.0, 1.0)
    noise_seed: int = 0


def refuse_impossible(config: AugmentConfig) -> None:
    """Raise OptionError for a number that nothing can be drawn from."""
    for name in (option.name for option in fields(config)):
        value = getattr(config, name)
        right, wanted = value >= 0, "a number from 0"
        if name in _PROBABILITIES:
            right, wanted = 0 <= value <= 1, "a probability from 0 to 1"
        elif name in _SMALLEST_PX:
            smallest = _SMALLEST_PX[name]
            right, wanted = value == 0 or value >= smallest, f"a number from {smallest:g}, or 0 for none"
        elif name in ("scale", "anisotropy"):
            right, wanted = 0 <= value < 1, "a share from 0 to below 1"
        elif name == "least_dose":
            right, wanted = 0 < value <= 1, "a share above 0, and at most 1"
        if not right or not math.isfinite(value):
            raise OptionError(f"augment.{name} is {value:g}: give {wanted}")


def sample(config: AugmentConfig, rng: np.random.Generator) -> Parameters:
    """Draw the parameters of one sample. All numbers are drawn in a fixed order, whether they are used or not."""

    def happens(probability: float) -> bool:
        return bool(rng.random() < probability)

    def either(limit: float) -> float:
        return float(rng.uniform(-limit, limit))

    def lognormal(sigma: float) -> float:
        return float(np.exp(rng.normal(0.0, sigma)))

    def width(option: str) -> float:
        smallest, largest = _SMALLEST_PX[option], getattr(config, option)
        drawn = float(rng.uniform(smallest, max(smallest, largest)))
        return drawn if largest > 0 else 0.0

    size, skew = 1.0 + either(config.scale), 1.0 + either(config.anisotropy)
    dose = float(np.exp(rng.uniform(np.log(config.least_dose), 0.0)))
    blur_px, gamma = width("blur_px"), lognormal(config.gamma)
    smoothed_px = width("smoothed_px")
    background = (float(rng.uniform(0, config.background_height)), *map(float, rng.uniform([0, 0, 0.3], [1, 1, 1.2])))
    cold = tuple(map(float, rng.uniform([0.1, 0.2, 0.01, 0.02], [0.9, 0.8, 0.06, 0.12])))
    blobs = tuple(_sample_blob(rng) for _ in range(int(rng.integers(1, 4))))
    ends = (float(rng.uniform(0.0, 0.3)), float(rng.uniform(0.7, 1.0)))
    focus = float(rng.random())
    missing, cold_view = int(rng.integers(2)), int(rng.integers(2))
    mottle = (float(rng.uniform(0.0, config.mottle_strength)), width("mottle_px"))
    return Parameters(
        position=float(rng.uniform(0.0, 1.0)),
        focus=focus if happens(config.focus) else None,
        flip=happens(config.flip),
        warp=happens(config.warp),
        angle_deg=either(config.rotation_deg),
        scale_rows=size,
        scale_cols=size * skew,
        shift_cols_px=either(config.shift_px),
        bend=tuple(map(float, rng.normal(0.0, config.bend_px, 30))),
        dose=dose if happens(config.thin) else 1.0,
        blur_px=blur_px if happens(config.blur) else 0.0,
        smoothed_px=smoothed_px if happens(config.smoothed) else 0.0,
        gains=(lognormal(config.view_gain), lognormal(config.view_gain)),
        reference_gain=lognormal(config.reference_gain),
        gamma=gamma if happens(config.tone) else 1.0,
        background=(background[0], background[1], background[2], background[3]) if happens(config.background) else None,
        cold=(cold_view, cold[0], cold[1], cold[2], cold[3]) if happens(config.cold) else None,
        hot=blobs if happens(config.hot) else (),
        mottle=mottle if happens(config.mottle) and mottle[1] > 0 else (0.0, 0.0),
        missing=missing if happens(config.view_dropout) else None,
        cut=ends if happens(config.cut) else (0.0, 1.0),
        noise_seed=int(rng.integers(2**63)),
    )


def _sample_blob(rng: np.random.Generator) -> tuple[int, Blob]:
    """A hot spot: from a faint drop to an injection site; the view it is in (2 = both)."""
    row, col = rng.uniform(0.02, 0.98, 2)
    width = np.exp(rng.uniform(np.log(0.8), np.log(4.0)))
    height = np.exp(rng.uniform(np.log(0.4), np.log(25.0)))
    slimness = rng.uniform(0.4, 1.0)
    return int(rng.integers(3)), (float(row), float(col), float(width), float(width * slimness), float(height))
