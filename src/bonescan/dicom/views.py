"""Tell the anterior frame from the posterior one by the header, and say which elements told it.

The sources, best first. All sources that give a view are used, and if two contradict each other, the views are
unknown. Nothing is guessed from the order of the frames or from the picture.

1. Detector Vector -> item of Detector Information Sequence -> View Code, by code, then by meaning
   (PS3.3 C.8.4.11; private schemes are usual).
2. View Code Sequence at the root, one item per frame.
3. Start Angle of the detector item: 0 +-45 degrees is the patient's back, 180 +-45 the front.
4. Orientation: the image seen with the head up and the patient's left on the right is anterior.
5. Text: View Position, Image ID, Series Description.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from bonescan.dicom.elements import integers, items, numbers, text, texts
from bonescan.errors import InputError, ViewError
from bonescan.study import View


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of one file. index: from 0, in the file. count: how many frames the file has."""

    dataset: Dataset
    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """One statement of the header about the side that a frame shows."""

    view: View
    source: str


@dataclass(frozen=True, slots=True)
class Told:
    """The view of each frame, and how the views were told, in words."""

    views: tuple[View, ...]
    source: str


_CODES = {
    ("SRT", "G-5215"): View.ANTERIOR,
    ("SRT", "G-5216"): View.POSTERIOR,
    ("SCT", "399321004"): View.ANTERIOR,
    ("SCT", "399001007"): View.POSTERIOR,
}
_SCHEMES = {"SRT": "SRT", "SNM3": "SRT", "99SDM": "SRT", "SCT": "SCT", "SNOMED-CT": "SCT"}

_ANTERIOR_WORDS = frozenset({"ANT", "ANTERIOR", "ANTERIEUR", "ANTERIEURE", "ANTERIORE", "VENTRAL"})
_POSTERIOR_WORDS = frozenset({"POST", "POSTERIOR", "POSTERIEUR", "POSTERIEURE", "POSTERIORE", "DORSAL"})
_OTHER_VIEW_WORDS = frozenset({"OBL", "OBLIQUE", "LAO", "RAO", "LPO", "RPO", "LAT", "LATERAL", "ANTERO", "POSTERO"})
# In free text "post" may mean "after": it is a side only at the end or before one of these words, and not after a time.
# A number after it is that of a scan ("POST 2"), unless another word follows ("POST 3 H").
_AFTER_POST = frozenset({"VIEW", "WB", "WHOLE", "WHOLEBODY", "BODY", "EM", "E", "PLANAR", "IMAGE", "BONE"})
_TIME_WORDS = frozenset({"H", "HR", "HRS", "HOUR", "HOURS", "MIN", "MINS", "MINUTES", "DAY", "DAYS"})


def tell_views(frames: Sequence[Frame]) -> Told:
    """Return which view each of one or two frames shows.

    Raises ViewError where the header gives no view or contradicts itself, or where both frames show the same side.
    """
    found = [evidence(frame) for frame in frames]
    for number, statements in enumerate(found, start=1):
        if len({statement.view for statement in statements}) > 1:
            said = "; ".join(f"{statement.source} says {statement.view}" for statement in statements)
            raise ViewError(f"the header contradicts itself on frame {number} ({said}); {how_to_state(len(frames))}")
    silent = [str(number) for number, statements in enumerate(found, start=1) if not statements]
    if silent:
        which = "the image" if len(frames) == 1 else f"frame {' and frame '.join(silent)}"
        verb = "shows" if len(silent) == 1 else "show"
        raise ViewError(f"the header does not say which side {which} {verb}; {how_to_state(len(frames))}")
    best = [statements[0] for statements in found]
    if len(best) == 2 and best[0].view is best[1].view:
        raise ViewError(
            f"both frames are {best[0].view} by {' and '.join(dict.fromkeys(one.source for one in best))}; "
            f"{how_to_state(2)}, or choose other frames with --frames"
        )
    return Told(tuple(one.view for one in best), " and ".join(dict.fromkeys(one.source for one in best)))


def how_to_state(frames: int) -> str:
    """Return the part of a sentence that says how the caller states the views."""
    if frames == 1:
        return "give it with --views anterior or --views posterior"
    return "give them in the order of the frames, with --views anterior,posterior or --views posterior,anterior"


def evidence(frame: Frame) -> tuple[Evidence, ...]:
    """Return all statements of the header about the side of one frame, best source first."""
    return tuple(statement for rung in _LADDER for statement in rung(frame))


def view_in_meaning(meaning: str) -> View | None:
    """Return the view that the meaning of a view code names, or None ("RT ANT " is anterior)."""
    words = set(_words(meaning))
    return _one_side(bool(words & _ANTERIOR_WORDS), bool(words & _POSTERIOR_WORDS), words)


def view_in_text(description: str) -> View | None:
    """Return the view that free text names, or None; "3 H POST INJECTION" names none."""
    words = _words(description)
    posterior = False
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        after = next((each for each in words[place + 1 :] if not each.isdigit()), "")
        if word != "POST":
            posterior |= word in _POSTERIOR_WORDS
        elif before not in _TIME_WORDS and (not after or after in _AFTER_POST | _ANTERIOR_WORDS):
            posterior = True
    return _one_side(any(word in _ANTERIOR_WORDS for word in words), posterior, set(words))


def view_of_angle(degrees: float) -> View | None:
    """Return the view of a detector at a start angle; 0 is the patient's back (PS3.3 C.8.4.10, C.8.4.11)."""
    angle = degrees % 360.0
    if angle <= 45.0 or angle >= 315.0:
        return View.POSTERIOR
    return View.ANTERIOR if 135.0 <= angle <= 225.0 else None


def view_of_orientation(cosines: Sequence[float]) -> View | None:
    """Return the view of an image whose rows and columns run along these six direction cosines, or None.

    Patient axes are left, posterior, head. Only an upright image gives a view: columns towards the
    feet, rows to the patient's left (anterior) or right (posterior), each within 45 degrees.
    """
    if len(cosines) != 6:
        return None
    row, col = cosines[:3], cosines[3:]
    if any(abs(math.hypot(*direction) - 1.0) > 0.1 for direction in (row, col)) or col[2] > -math.sqrt(0.5):
        return None
    if abs(row[0]) < math.sqrt(0.5):
        return None
    return View.ANTERIOR if row[0] > 0 else View.POSTERIOR


def _one_side(anterior: bool, posterior: bool, words: set[str]) -> View | None:
    if anterior == posterior or words & _OTHER_VIEW_WORDS:
        return None
    return View.ANTERIOR if anterior else View.POSTERIOR


def _words(description: str) -> list[str]:
    """Split into upper-case words without accents; digits, blanks, NULs and signs separate."""
    plain = "".join(
        letter for letter in unicodedata.normalize("NFKD", description) if not unicodedata.combining(letter)
    )
    return re.findall(r"[A-Z]+|[0-9]+", plain.upper())


def _detector_item(frame: Frame) -> Dataset | None:
    """Return the item of Detector Information Sequence that took the frame; None where the header does not say."""
    detectors = items(frame.dataset, "DetectorInformationSequence")
    vector = integers(frame.dataset, "DetectorVector")
    if not detectors or not vector:
        return None
    if len(vector) != frame.count:
        raise InputError(f"Detector Vector has {len(vector)} values for {frame.count} frames, so the file is damaged")
    number = vector[frame.index]
    if not 1 <= number <= len(detectors):
        raise InputError(f"Detector Vector names detector {number} of {len(detectors)}, so the file is damaged")
    return detectors[number - 1]


def _from_code(code: Dataset, source: str) -> Iterator[Evidence]:
    scheme = _SCHEMES.get(text(code, "CodingSchemeDesignator").upper(), "")
    by_code = _CODES.get((scheme, text(code, "CodeValue").upper()))
    if by_code:
        yield Evidence(by_code, f"the code of {source}")
    by_meaning = view_in_meaning(text(code, "CodeMeaning"))
    if by_meaning:
        yield Evidence(by_meaning, f"the meaning of {source}")


def _detector_view_code(frame: Frame) -> Iterator[Evidence]:
    detector = _detector_item(frame)
    for code in items(detector, "ViewCodeSequence") if detector is not None else ():
        yield from _from_code(code, "the detector's View Code Sequence")


def _root_view_code(frame: Frame) -> Iterator[Evidence]:
    codes = items(frame.dataset, "ViewCodeSequence")
    if len(codes) == frame.count:
        yield from _from_code(codes[frame.index], "the image's View Code Sequence")


def _start_angle(frame: Frame) -> Iterator[Evidence]:
    detector = _detector_item(frame)
    angles = numbers(detector, "StartAngle") if detector is not None else ()
    view = view_of_angle(angles[0]) if len(angles) == 1 else None
    if view:
        yield Evidence(view, "the detector's Start Angle")


def _orientation(frame: Frame) -> Iterator[Evidence]:
    detector = _detector_item(frame)
    cosines = numbers(detector, "ImageOrientationPatient") if detector is not None else ()
    view = view_of_orientation(cosines)
    if view:
        yield Evidence(view, "the detector's Image Orientation")
    if frame.count == 1:
        letters = [part.upper() for part in texts(frame.dataset, "PatientOrientation")]
        by_letters = {"L F": View.ANTERIOR, "R F": View.POSTERIOR}.get(" ".join(letters))
        if by_letters:
            yield Evidence(by_letters, "Patient Orientation")


def _text(frame: Frame) -> Iterator[Evidence]:
    for keyword, name in _TEXTS.items():
        values = texts(frame.dataset, keyword)
        # Text of the whole file is used for a frame only if it has one value per frame.
        if len(values) == frame.count:
            view = view_in_text(values[frame.index])
            if view:
                yield Evidence(view, f"the text of {name}")


_TEXTS = {"ViewPosition": "View Position", "ImageID": "Image ID", "SeriesDescription": "Series Description"}

_LADDER: tuple[Callable[[Frame], Iterator[Evidence]], ...] = (
    _detector_view_code,
    _root_view_code,
    _start_angle,
    _orientation,
    _text,
)
