"""The overlay as secondary capture (PS3.3 A.8.1), which every archive can show, the page as encapsulated PDF (A.45.1).

The overlay has few colours, so that it is stored with a palette (PS3.3 C.7.9) and run lengths (RLE Lossless, PS3.5 G):
the same pixels in a seventh of the size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import RLELossless

from bonescan.dicom.header import Code, Origin, patient_fields
from bonescan.dicom.objects import codes, common
from bonescan.report.overlay import overlay
from bonescan.report.page import page
from bonescan.report.words import RESEARCH_USE
from bonescan.study import Result, View

_REPORT = Code("18748-4", "LN", "Diagnostic Imaging Report")


def secondary_capture(result: Result, origin: Origin) -> FileDataset:
    """Return the overlay as a palette image. Raises InputError where the header is not that of the result's source."""
    picture = overlay(result, patient_fields(origin))
    pixels = np.asarray(picture)
    dataset = common.new_object(result, origin, "capture")
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = f"Lesions outlined over both views. {RESEARCH_USE}"
    dataset.ImageComments = common.use_and_warnings(result, common.LONG_TEXT)
    dataset.BurnedInAnnotation = "YES" if origin.made.identify else "NO"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.PatientOrientation = None
    dataset.LossyImageCompression = "00"
    dataset.SourceImageSequence = [common.image_reference(result, origin, view) for view in _views(result)]
    for source in dataset.SourceImageSequence:
        source.PurposeOfReferenceCodeSequence = [codes.item(codes.SOURCE_IMAGE)]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    _palette(dataset, np.array(picture.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3))
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    stored = pixels.tobytes()
    dataset.PixelData = stored + b"\0" * (len(stored) % 2)
    dataset["PixelData"].VR = "OB"
    # The class UID and the UID of the object stay as they are: nothing is lost.
    dataset.compress(RLELossless, encoding_plugin="gdcm", generate_instance_uid=False)
    return dataset


def _palette(dataset: FileDataset, colours: NDArray[np.uint8]) -> None:
    """Write the palette: 16-bit entries, as viewers expect them, whose lower byte repeats the higher."""
    for place, name in enumerate(("Red", "Green", "Blue")):
        entries = colours[:, place].astype("<u2") * 0x0101
        dataset[f"{name}PaletteColorLookupTableDescriptor"] = DataElement(
            f"{name}PaletteColorLookupTableDescriptor", "US", [len(entries), 0, 16]
        )
        setattr(dataset, f"{name}PaletteColorLookupTableData", entries.tobytes())


def _views(result: Result) -> list[View]:
    return [view for view in View if view in result.study.scans]


def encapsulated_pdf(result: Result, origin: Origin) -> FileDataset:
    """Return the report of a result. Raises InputError where the header is not that of the result's source."""
    document = page(result, patient_fields(origin))
    dataset = common.new_object(result, origin, "pdf")
    del dataset.BodyPartExamined  # a document has none
    dataset.ConversionType = "WSD"
    dataset.AcquisitionDateTime = ""
    dataset.BurnedInAnnotation = "YES" if origin.made.identify else "NO"
    dataset.RecognizableVisualFeatures = "NO"
    title = "Lesions in a whole-body bone scan. "
    dataset.DocumentTitle = title + common.use_and_warnings(result, common.SHORT_TEXT - len(title))
    dataset.ConceptNameCodeSequence = [codes.item(_REPORT)]
    dataset.SourceInstanceSequence = _sources(result, origin)
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocumentLength = len(document)
    dataset.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    return dataset


def _sources(result: Result, origin: Origin) -> list[Dataset]:
    """Each source instance once."""
    references = [common.image_reference(result, origin, view) for view in _views(result)]
    by_uid = {reference.ReferencedSOPInstanceUID: reference for reference in references}
    for reference in by_uid.values():
        reference.pop("ReferencedFrameNumber", None)
        reference.PurposeOfReferenceCodeSequence = [codes.item(codes.SOURCE_IMAGE)]
    return list(by_uid.values())
