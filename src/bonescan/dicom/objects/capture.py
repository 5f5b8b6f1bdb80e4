"""Secondary capture of the overlay: the picture that every archive can show (PS3.3 A.8.1)."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import FileDataset

from bonescan.dicom.header import Origin
from bonescan.dicom.objects import codes, common
from bonescan.report.overlay import overlay
from bonescan.report.patient import patient_fields
from bonescan.study import Result, View


def secondary_capture(result: Result, origin: Origin) -> FileDataset:
    """Return the overlay as an RGB image. Raises InputError where the header is not that of the result's source."""
    pixels = np.asarray(overlay(result, patient_fields(origin)).convert("RGB"))
    dataset = common.new_object(result, origin, "capture")
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = f"Lesions outlined over both views. {common.RESEARCH_USE_ONLY}"
    dataset.ImageComments = common.use_and_warnings(result, common.LONG_TEXT)
    dataset.BurnedInAnnotation = "YES" if origin.made.identify else "NO"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.PatientOrientation = None
    dataset.LossyImageCompression = "00"
    dataset.SourceImageSequence = [common.image_reference(result, origin, view) for view in _views(result)]
    for source in dataset.SourceImageSequence:
        source.PurposeOfReferenceCodeSequence = [codes.item(codes.SOURCE_IMAGE)]
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    stored = pixels.tobytes()
    dataset.PixelData = stored + b"\0" * (len(stored) % 2)
    return dataset


def _views(result: Result) -> list[View]:
    return [view for view in View if view in result.study.scans]
