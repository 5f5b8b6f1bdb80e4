"""DICOM Segmentation: one segment per lesion, one frame per segment, over the source's own frames (PS3.3 A.51).

Built without highdicom, which supports no multi-frame NM images, as they have no frame of reference. Frames refer to
the source by Derivation Image and by their place in its stack (PS3.3 C.7.6.16.2.2). highdicom reads them back exactly.

A planar scan has no position in the patient: depth is lost, and no origin is known. Viewers put its frames into
coordinates of the picture: columns along x, rows along y, one frame a millimetre behind the other. A segmentation gets
these positions, so that it lies on the scan, in a frame of reference of its own, as they are not the patient's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import Tag
from pydicom.valuerep import DS

from bonescan._version import __version__
from bonescan.assess.site import site_words
from bonescan.dicom.header import Origin
from bonescan.dicom.objects import codes, common
from bonescan.report.words import RESEARCH_USE
from bonescan.study import Lesion, Result, Side, Spacing

_STACK = "1"
_PICTURE = ". Positions and directions are those of the picture, not of the patient"
_COLOURS = ((43803, 26565, 24036), (36372, 45746, 50610), (52463, 30103, 53714), (44005, 18504, 45746))
"""Colours that differ clearly on grey; CIELab, scaled to 16 bits (PS3.3 C.10.7.1.1)."""


def segmentation(result: Result, origin: Origin) -> FileDataset | None:
    """Return the segmentation of a result; None without lesions, as DICOM has no segmentation without segments.

    Raises InputError where the header is not that of the result's source.
    """
    if not result.lesions:
        return None
    dataset = common.new_object(result, origin, "seg")
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.ContentLabel = "LESIONS"
    dataset.ContentDescription = RESEARCH_USE
    dataset.ImageComments = common.use_and_warnings(result, common.LONG_TEXT - len(_PICTURE))
    dataset.ContentCreatorName = common.person_name(result.reader)
    dataset.SegmentationType = "BINARY"
    dataset.LossyImageCompression = "00"
    dataset.PatientOrientation = None
    dataset.ReferencedSeriesSequence = common.referenced_series(origin)
    dataset.SegmentSequence = [_segment(result, origin, place, one) for place, one in enumerate(result.lesions, 1)]
    _dimensions(dataset, result, origin)
    _frames(dataset, result, origin)
    if result.study.spacing is not None:
        _place(dataset, result.study.spacing, origin)
    _pixels(dataset, result.lesions, result.study.shape)
    return dataset


def _segment(result: Result, origin: Origin, number: int, lesion: Lesion) -> Dataset:
    segment = Dataset()
    segment.SegmentNumber = number
    segment.SegmentLabel = common.tracking_id(lesion.id)
    suspected = "" if result.reader is not None else ", suspected metastasis"
    certainty = "" if lesion.probability is None else f", probability {lesion.probability:.2f}"
    segment.SegmentDescription = f"{lesion.view.value} view, {site_words(lesion)}{suspected}{certainty}"
    segment.SegmentedPropertyCategoryCodeSequence = [codes.item(codes.ABNORMAL_STRUCTURE)]
    # A model suspects; a reader who drew or kept a curve has decided.
    kind = codes.LESION if result.reader is None else codes.NEOPLASM
    segment.SegmentedPropertyTypeCodeSequence = [codes.item(kind)]
    # A reader's curves may have begun as the model's, so that MANUAL would claim too much.
    segment.SegmentAlgorithmType = "AUTOMATIC" if result.reader is None else "SEMIAUTOMATIC"
    segment.SegmentAlgorithmName = result.model.name
    segment.SegmentationAlgorithmIdentificationSequence = [_algorithm(result)]
    if lesion.region in codes.SITES:
        site = codes.item(codes.SITES[lesion.region])
        modifiers = [] if lesion.side is Side.MIDLINE else [codes.SIDES[lesion.side]]
        modifiers += [] if lesion.level is None else [codes.LEVELS[lesion.level.name]]
        if modifiers:
            site.AnatomicRegionModifierSequence = [codes.item(modifier) for modifier in modifiers]
        segment.AnatomicRegionSequence = [site]
    segment.RecommendedDisplayCIELabValue = list(_COLOURS[(number - 1) % len(_COLOURS)])
    segment.TrackingID = common.tracking_id(lesion.id)
    segment.TrackingUID = common.tracking_uid(result, origin, lesion.id)
    return segment


def _algorithm(result: Result) -> Dataset:
    algorithm = Dataset()
    algorithm.AlgorithmFamilyCodeSequence = [codes.item(codes.AI)]
    algorithm.AlgorithmName = result.model.name
    algorithm.AlgorithmVersion = __version__
    algorithm.AlgorithmParameters = f"model sha256 {result.model.sha256}"
    algorithm.AlgorithmSource = common.MANUFACTURER
    return algorithm


def _dimensions(dataset: Dataset, result: Result, origin: Origin) -> None:
    uid = common.derived_uid("dimensions", common.content_digest(result, origin))
    organisation = Dataset()
    organisation.DimensionOrganizationUID = uid
    dataset.DimensionOrganizationSequence = [organisation]
    # Referenced Frame Number would be valid, too, but reading software looks up positions in a stack.
    dataset.DimensionIndexSequence = [
        _dimension(uid, "ReferencedSegmentNumber", "SegmentIdentificationSequence", "Segment"),
        _dimension(uid, "StackID", "FrameContentSequence", "Stack"),
        _dimension(uid, "InStackPositionNumber", "FrameContentSequence", "Frame of the source"),
    ]


def _dimension(uid: str, pointer: str, group: str, label: str) -> Dataset:
    index = Dataset()
    index.DimensionOrganizationUID = uid
    index.DimensionIndexPointer = Tag(pointer)
    index.FunctionalGroupPointer = Tag(group)
    index.DimensionDescriptionLabel = label
    return index


def _frames(dataset: Dataset, result: Result, origin: Origin) -> None:
    dataset.SharedFunctionalGroupsSequence = [Dataset()]
    dataset.PerFrameFunctionalGroupsSequence = [
        _frame(result, origin, number, lesion) for number, lesion in enumerate(result.lesions, start=1)
    ]


def _frame(result: Result, origin: Origin, number: int, lesion: Lesion) -> Dataset:
    source = common.image_reference(result, origin, lesion.view)
    source.PurposeOfReferenceCodeSequence = [codes.item(codes.SOURCE_IMAGE)]
    source.SpatialLocationsPreserved = "YES"
    derivation = Dataset()
    derivation.SourceImageSequence = [source]
    derivation.DerivationCodeSequence = [codes.item(codes.SEGMENTATION)]
    place = result.study.frames[lesion.view]
    position = sum(instance.frames for instance in origin.header.instances[: place.file]) + place.frame
    content = Dataset()
    content.StackID = _STACK
    content.InStackPositionNumber = position
    content.DimensionIndexValues = [number, 1, position]
    identification = Dataset()
    identification.ReferencedSegmentNumber = number
    frame = Dataset()
    frame.DerivationImageSequence = [derivation]
    frame.FrameContentSequence = [content]
    frame.SegmentIdentificationSequence = [identification]
    return frame


def _place(dataset: Dataset, spacing: Spacing, origin: Origin) -> None:
    """Place the frames in coordinates of the picture. The thickness means nothing, but the macro asks for one."""
    sources = sorted(instance.sop_instance_uid for instance in origin.header.instances)
    dataset.FrameOfReferenceUID = common.derived_uid("frame of reference", *sources)
    dataset.PositionReferenceIndicator = None
    dataset.ImageComments += _PICTURE
    measures = Dataset()
    measures.PixelSpacing = [DS(spacing.row_mm, auto_format=True), DS(spacing.col_mm, auto_format=True)]
    measures.SliceThickness = measures.SpacingBetweenSlices = 1
    orientation = Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    (shared,) = dataset.SharedFunctionalGroupsSequence
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        position = Dataset()
        position.ImagePositionPatient = [0, 0, frame.FrameContentSequence[0].InStackPositionNumber - 1]
        frame.PlanePositionSequence = [position]


def _pixels(dataset: Dataset, lesions: Sequence[Lesion], shape: tuple[int, int]) -> None:
    """Pack the masks: one bit per pixel, frames one after another without padding between them (PS3.5 8.1.1)."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.NumberOfFrames = len(lesions)
    dataset.Rows, dataset.Columns = shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
    dataset.PixelRepresentation = 0
    frames = np.zeros((len(lesions), *shape), dtype=np.bool_)
    for frame, lesion in zip(frames, lesions, strict=True):
        frame[lesion.window] = lesion.mask
    packed = np.packbits(frames, bitorder="little").tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
