"""Structured report by TID 1500: a planar group of measurements for each lesion, its closed curve on its source frame.

A curve of a model is coded as a lesion that is suspected to be a metastasis, with the model's probability. A curve that
a reader drew or kept is coded as a metastasis.

highdicom builds the content tree; patient, study, equipment and UIDs are made as for all objects.
"""

from __future__ import annotations

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageRegion,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset, FileDataset
from pydicom.sr.codedict import codes as dictionary
from pydicom.uid import UID, ExplicitVRLittleEndian

from bonescan._version import __version__
from bonescan.dicom.header import Code, Origin
from bonescan.dicom.objects import codes, common
from bonescan.dicom.objects.common import to_graphic
from bonescan.report.words import RESEARCH_USE
from bonescan.study import Burden, Extent, Lesion, Measures, Result, Side, View


def structured_report(result: Result, origin: Origin) -> FileDataset:
    """Return the structured report of a result; without lesions it counts none in each view.

    Raises InputError where the header is not that of the result's source.
    """
    report = MeasurementReport(
        observation_context=_observer(result),
        procedure_reported=_concept(codes.WHOLE_BODY_SCAN),
        imaging_measurements=[
            *(_view_group(result, origin, view) for view in View if view in result.study.scans),
            *([] if result.extent is None else [_patient_group(result, origin, result.extent)]),
            *(_lesion_group(result, origin, lesion) for lesion in result.lesions),
        ],
        title=dictionary.DCM.ImagingMeasurementReport,
        referenced_images=None,
    )
    report[0].ContentSequence.append(_comment(result))
    built = ComprehensiveSR(
        evidence=[_evidence(origin, place) for place in range(len(origin.header.instances))],
        content=report,
        series_instance_uid=common.series_uid(result, origin, "sr"),
        series_number=common.KINDS["sr"].series_number,
        sop_instance_uid=common.object_uid(result, origin, "sr"),
        instance_number=1,
        manufacturer=common.MANUFACTURER,
        is_complete=True,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    dataset = common.new_object(result, origin, "sr")
    for element in built:
        # highdicom adds itself with the current time, which would make two reports of one result differ.
        if element.tag not in dataset and element.keyword != "ContributingEquipmentSequence":
            dataset.add(element)
    del dataset.BodyPartExamined  # a document has none
    dataset.CodingSchemeIdentificationSequence = [_own_scheme()]
    return dataset


def _own_scheme() -> Dataset:
    """Identify the private coding scheme 99BONESCAN (PS3.3 C.12.1)."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator = codes.OURS
    scheme.CodingSchemeName = "Codes of bonescan"
    scheme.CodingSchemeResponsibleOrganization = common.MANUFACTURER
    return scheme


def _concept(code: Code) -> CodedConcept:
    return CodedConcept(code.value, code.scheme, code.meaning)


def _observer(result: Result) -> ObservationContext:
    """The observers: the reader, if there is one, and always the device that measured (TID 1002)."""
    device = ObserverContext(
        dictionary.DCM.Device,
        DeviceObserverIdentifyingAttributes(
            uid=common.derived_uid("device", result.model.sha256),
            name=common.MODEL_NAME,
            manufacturer_name=common.MANUFACTURER,
            model_name=result.model.name,
        ),
    )
    if result.reader is None:
        return ObservationContext(observer_device_context=device)
    person = ObserverContext(
        dictionary.DCM.Person, PersonObserverIdentifyingAttributes(name=common.person_name(result.reader))
    )
    return ObservationContext(observer_person_context=person, observer_device_context=device)


def _algorithm(result: Result) -> AlgorithmIdentification:
    return AlgorithmIdentification(
        name=result.model.name,
        version=__version__,
        parameters=[f"model sha256 {result.model.sha256}", RESEARCH_USE],
        family=_concept(codes.AI),
        manufacturer=common.MANUFACTURER,
    )


def _comment(result: Result) -> TextContentItem:
    said = [f"{RESEARCH_USE}.", f"Looked at: {result.region}.", *result.warnings]
    return TextContentItem(
        name=_concept(codes.COMMENT), value=" ".join(said), relationship_type=RelationshipTypeValues.CONTAINS
    )


def _view_group(result: Result, origin: Origin, view: View) -> MeasurementsAndQualitativeEvaluations:
    """The totals of all lesions of a view; also written without lesions."""
    reference = common.image_reference(result, origin, view)
    frame = reference.get("ReferencedFrameNumber")
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=common.derived_uid("view", view.value, common.content_digest(result, origin)),
            identifier=f"{view.value} view",
        ),
        algorithm_id=_algorithm(result),
        measurements=_burden(result.burden[view]),
        qualitative_evaluations=[_view_shown(view)],
        source_images=[
            SourceImageForMeasurementGroup(
                reference.ReferencedSOPClassUID,
                reference.ReferencedSOPInstanceUID,
                None if frame is None else [frame],
            )
        ],
    )


def _burden(burden: Burden) -> list[Measurement]:
    found = [_measured(codes.LESIONS, burden.lesions, codes.NO_UNITS)]
    found.append(_measured(codes.AREA_IN_PIXELS, burden.area_px, codes.PIXELS))
    if burden.area_mm2 is not None:
        found.append(_measured(codes.AREA, burden.area_mm2, codes.SQUARE_MILLIMETRES))
    if burden.skeleton_share is not None:
        found.append(_measured(codes.SKELETON_SHARE, burden.skeleton_share, codes.RATIO))
    return found


def _patient_group(result: Result, origin: Origin, extent: Extent) -> MeasurementsAndQualitativeEvaluations:
    """The totals of all lesions of the patient over the available views."""
    stated = [
        (codes.LESIONS_IN_ALL, extent.lesions, codes.NO_UNITS),
        (codes.POSITIVE_SHARE, extent.positive_share, codes.RATIO),
        (codes.BONE_SCAN_INDEX, extent.bone_scan_index, codes.PERCENT),
        (codes.MASS_SEEN, extent.mass_seen, codes.RATIO),
        (codes.GRADE, extent.grade, codes.NO_UNITS),
    ]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=common.derived_uid("patient", common.content_digest(result, origin)), identifier="all views"
        ),
        algorithm_id=_algorithm(result),
        measurements=[_measured(name, value, unit) for name, value, unit in stated if value is not None],
    )


def _lesion_group(result: Result, origin: Origin, lesion: Lesion) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    reference = common.image_reference(result, origin, lesion.view)
    frame = reference.get("ReferencedFrameNumber")
    source = SourceImageForRegion(
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID, None if frame is None else [frame]
    )
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=common.tracking_uid(result, origin, lesion.id), identifier=common.tracking_id(lesion.id)
        ),
        referenced_region=ImageRegion("POLYLINE", to_graphic(lesion.contour), source),
        finding_category=_concept(codes.ABNORMAL_STRUCTURE),
        finding_type=_concept(codes.LESION if result.reader is None else codes.METASTASIS),
        finding_sites=_sites(lesion),
        # Also where a reader drew: the measurements are the device's in both cases, as its observer context says.
        algorithm_id=_algorithm(result),
        measurements=[*_measurements(lesion.measures, lesion.probability), *_relations(lesion)],
        qualitative_evaluations=[_view_shown(lesion.view), *_suspected(result)],
    )


def _sites(lesion: Lesion) -> list[FindingSite] | None:
    if lesion.region not in codes.SITES:
        return None
    side = None if lesion.side is Side.MIDLINE else _concept(codes.SIDES[lesion.side])
    level = None if lesion.level is None else _concept(codes.LEVELS[lesion.level.name])
    location = _concept(codes.SITES[lesion.region])
    return [FindingSite(anatomic_location=location, laterality=side, topographical_modifier=level)]


def _relations(lesion: Lesion) -> list[Measurement]:
    """The uncertainty of the level, and the number that pairs it with an outline of the other view."""
    stated = [
        (codes.LEVEL_PLUS_MINUS, None if lesion.level is None else lesion.level.plus_minus),
        (codes.PAIR, lesion.pair),
    ]
    return [_measured(name, value, codes.NO_UNITS) for name, value in stated if value is not None]


def _suspected(result: Result) -> list[QualitativeEvaluation]:
    """The suspicion of a metastasis for a model's lesion; nothing where a reader has decided."""
    if result.reader is not None:
        return []
    return [QualitativeEvaluation(name=_concept(codes.SUSPECTED), value=_concept(codes.METASTASIS))]


def _view_shown(view: View) -> QualitativeEvaluation:
    return QualitativeEvaluation(name=_concept(codes.IMAGE_VIEW), value=_concept(codes.VIEWS[view]))


def _measurements(measures: Measures, probability: float | None) -> list[Measurement]:
    stated = [
        (codes.AREA_IN_PIXELS, measures.area_px, codes.PIXELS),
        (codes.AREA, measures.area_mm2, codes.SQUARE_MILLIMETRES),
        (codes.COUNTS_TOTAL, measures.counts_total, codes.COUNTS),
        (codes.COUNTS_MEAN, measures.counts_mean, codes.COUNTS),
        (codes.COUNTS_MAX, measures.counts_max, codes.COUNTS),
        (codes.CONTRAST, measures.contrast, codes.RATIO),
        (codes.CONTRAST_MIRROR, measures.contrast_mirror, codes.RATIO),
        (codes.PROBABILITY, probability, codes.RATIO),
        (codes.CERTAINTY, None if probability is None else 100 * probability, codes.PERCENT),
    ]
    return [_measured(name, value, unit) for name, value, unit in stated if value is not None]


def _measured(name: Code, value: float, unit: Code) -> Measurement:
    return Measurement(name=_concept(name), value=float(value), unit=_concept(unit))


def _evidence(origin: Origin, place: int) -> Dataset:
    """A source instance in the form that highdicom needs; only checked elements, none from the file itself."""
    instance = origin.header.instances[place]
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = UID(instance.sop_class_uid), UID(instance.sop_instance_uid)
    dataset.SeriesInstanceUID = UID(instance.series_instance_uid)
    dataset.StudyInstanceUID = UID(origin.header.study["StudyInstanceUID"])
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = instance.frames, instance.rows, instance.cols
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber"):
        setattr(dataset, keyword, "")
    for keyword in ("StudyDate", "StudyTime", "ReferringPhysicianName"):
        setattr(dataset, keyword, "")
    return dataset
