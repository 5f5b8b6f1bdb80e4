"""Grayscale softcopy presentation state: a viewer draws the curves over the source's own frames (PS3.3 A.33.1).

The viewer shows the source itself, in inverted grey on the window of the overlay, with a closed curve and a number for
each lesion that it can hide.
"""

from __future__ import annotations

from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from bonescan.dicom.header import Origin
from bonescan.dicom.objects import common
from bonescan.dicom.objects.common import to_graphic
from bonescan.report.overlay import bone_window
from bonescan.report.words import RESEARCH_USE
from bonescan.study import Lesion, Result, View

_LESIONS, _NOTE = "LESIONS", "NOTE"
_RED = (38000, 53000, 48000)
"""CIELab, scaled to 16 bits (PS3.3 C.10.7.1.1)."""
_NOTE_BOX = ((0.02, 0.96), (0.98, 0.995))
"""Box of the note, (x, y) as shares of the displayed area from its upper left corner: a line below the feet."""
_WARNING_HEIGHT, _HIGHEST_NOTE = 0.03, 0.6
"""Added height of the box for each warning, and the upper limit of its upper edge."""
_NUMBER_GAP_PX = 2.0


def presentation_state(result: Result, origin: Origin) -> FileDataset:
    """Return the presentation state of a result. Raises InputError where the header is not that of its source."""
    views = [view for view in View if view in result.study.scans]
    references = {view: common.image_reference(result, origin, view) for view in views}
    dataset = common.new_object(result, origin, "gsps")
    dataset.ContentLabel = "LESIONS"
    dataset.ContentDescription = RESEARCH_USE
    dataset.ContentCreatorName = common.person_name(result.reader)
    dataset.PresentationCreationDate, dataset.PresentationCreationTime = dataset.ContentDate, dataset.ContentTime
    del dataset.ContentDate, dataset.ContentTime  # this kind of object has no content date
    dataset.ReferencedSeriesSequence = _series(origin)
    dataset.DisplayedAreaSelectionSequence = [_displayed_area(result)]
    dataset.GraphicAnnotationSequence = [
        *(_curves(result, view, references[view]) for view in views if _of_view(result, view)),
        _note(result),
    ]
    dataset.GraphicLayerSequence = [_layer(_LESIONS, 1, "Lesions"), _layer(_NOTE, 2, RESEARCH_USE)]
    dataset.SoftcopyVOILUTSequence = [_window(result, origin, view) for view in views]
    dataset.PresentationLUTShape = "INVERSE"
    return dataset


def _of_view(result: Result, view: View) -> list[Lesion]:
    return [lesion for lesion in result.lesions if lesion.view is view]


def _series(origin: Origin) -> list[Dataset]:
    """Every source series with its images, in the form that this module requires (PS3.3 C.11.11)."""
    found = []
    for series in common.referenced_series(origin):
        item = Dataset()
        item.SeriesInstanceUID = UID(series.SeriesInstanceUID)
        item.ReferencedImageSequence = series.ReferencedInstanceSequence
        found.append(item)
    return found


def _displayed_area(result: Result) -> Dataset:
    """The whole frame in its true proportions; DICOM counts pixels from 1 here (PS3.3 C.10.4)."""
    rows, cols = result.study.shape
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [cols, rows]
    area.PresentationSizeMode = "SCALE TO FIT"
    spacing = result.study.spacing
    if spacing is None:
        area.PresentationPixelAspectRatio = [1, 1]
    else:
        area.PresentationPixelSpacing = [_decimal(spacing.row_mm), _decimal(spacing.col_mm)]
    return area


def _curves(result: Result, view: View, reference: Dataset) -> Dataset:
    annotation = Dataset()
    annotation.ReferencedImageSequence = [reference]
    annotation.GraphicLayer = _LESIONS
    lesions = _of_view(result, view)
    annotation.GraphicObjectSequence = [_curve(lesion) for lesion in lesions]
    annotation.TextObjectSequence = [_number(lesion, result.study.shape) for lesion in lesions]
    return annotation


def _curve(lesion: Lesion) -> Dataset:
    points = to_graphic(lesion.contour)
    graphic = Dataset()
    graphic.GraphicAnnotationUnits = "PIXEL"
    graphic.GraphicDimensions = 2
    graphic.NumberOfGraphicPoints = len(points)
    graphic.GraphicData = points.ravel().tolist()
    graphic.GraphicType = "POLYLINE"
    graphic.GraphicFilled = "N"
    return graphic


def _number(lesion: Lesion, shape: tuple[int, int]) -> Dataset:
    """The lesion's number, to the right of it, or to the left where the frame ends."""
    points = to_graphic(lesion.contour)
    right, middle = float(points[:, 0].max()), float((points[:, 1].min() + points[:, 1].max()) / 2)
    text = Dataset()
    text.AnchorPointAnnotationUnits = "PIXEL"
    column = right + _NUMBER_GAP_PX
    text.AnchorPoint = [column if column < shape[1] else float(points[:, 0].min()) - _NUMBER_GAP_PX, middle]
    text.AnchorPointVisibility = "N"
    text.UnformattedTextValue = str(lesion.id)
    return text


def _note(result: Result) -> Dataset:
    """What the curves may be used for, and all warnings, under every frame."""
    (left, top), corner = _NOTE_BOX
    top = max(top - _WARNING_HEIGHT * len(result.warnings), _HIGHEST_NOTE)
    text = Dataset()
    text.BoundingBoxAnnotationUnits = "DISPLAY"
    text.BoundingBoxTopLeftHandCorner, text.BoundingBoxBottomRightHandCorner = [left, top], list(corner)
    text.BoundingBoxTextHorizontalJustification = "LEFT"
    text.UnformattedTextValue = common.use_and_warnings(result, common.SHORT_TEXT)
    annotation = Dataset()
    annotation.GraphicLayer = _NOTE
    annotation.TextObjectSequence = [text]
    return annotation


def _layer(name: str, order: int, description: str) -> Dataset:
    layer = Dataset()
    layer.GraphicLayer = name
    layer.GraphicLayerOrder = order
    layer.GraphicLayerDescription = description
    layer.GraphicLayerRecommendedDisplayCIELabValue = list(_RED)
    return layer


def _window(result: Result, origin: Origin, view: View) -> Dataset:
    """The window in stored values: white is no count, black as on the overlay.

    Without its own modality LUT a presentation state shows stored values, whatever rescaling the image gives (PS3.4
    N.2.1.1).
    """
    instance = common.instance_of(result, origin, view)
    lowest = -instance.intercept / instance.slope
    highest = (bone_window(result.study.counts(view)) - instance.intercept) / instance.slope
    window = Dataset()
    window.ReferencedImageSequence = [common.image_reference(result, origin, view)]
    # A linear window of width w around c has its ends at c - 0.5 -+ (w - 1) / 2 (PS3.3 C.11.2.1.2.1).
    window.WindowCenter, window.WindowWidth = _decimal((lowest + highest + 1) / 2), _decimal(highest - lowest + 1)
    return window


def _decimal(value: float) -> str:
    return repr(value) if len(repr(value)) <= 16 else f"{value:.10g}"
