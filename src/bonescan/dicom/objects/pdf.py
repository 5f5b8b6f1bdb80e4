"""The one-page report as an encapsulated PDF (PS3.3 A.45.1)."""

from __future__ import annotations

from pydicom.dataset import Dataset, FileDataset

from bonescan.dicom.header import Code, Origin
from bonescan.dicom.objects import codes, common
from bonescan.dicom.patient import patient_fields
from bonescan.report.page import page
from bonescan.study import Result, View

_REPORT = Code("18748-4", "LN", "Diagnostic Imaging Report")


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
    references = [common.image_reference(result, origin, view) for view in View if view in result.study.scans]
    by_uid = {reference.ReferencedSOPInstanceUID: reference for reference in references}
    for reference in by_uid.values():
        reference.pop("ReferencedFrameNumber", None)
        reference.PurposeOfReferenceCodeSequence = [codes.item(codes.SOURCE_IMAGE)]
    return list(by_uid.values())
