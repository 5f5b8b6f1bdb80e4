"""The codes of the objects that are written: SNOMED CT, DCM and UCUM, and ours where no public dictionary has one.

The designator 99BONESCAN marks codes of our own (PS3.16 8.2 reserves 99... for that); docs/reference lists them.
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from bonescan.dicom.header import Code
from bonescan.study import Region, Side, View

OURS = "99BONESCAN"

SITES: dict[Region, Code] = {
    Region.SKULL: Code("89546000", "SCT", "Skull"),
    Region.CERVICAL_SPINE: Code("122494005", "SCT", "Cervical spine"),
    Region.THORACIC_SPINE: Code("122495006", "SCT", "Thoracic spine"),
    Region.LUMBAR_SPINE: Code("122496007", "SCT", "Lumbar spine"),
    Region.SACRUM: Code("54735007", "SCT", "Sacrum"),
    Region.PELVIS: Code("118645006", "SCT", "Pelvis"),
    Region.RIBS: Code("113197003", "SCT", "Rib"),
    Region.STERNUM: Code("56873002", "SCT", "Sternum"),
    Region.CLAVICLE: Code("51299004", "SCT", "Clavicle"),
    Region.SCAPULA: Code("79601000", "SCT", "Scapula"),
    Region.ARM: Code("53120007", "SCT", "Upper limb"),
    Region.FEMUR: Code("71341001", "SCT", "Femur"),
    Region.LOWER_LEG: Code("12611008", "SCT", "Tibia"),
    Region.FACE: Code("91397008", "SCT", "Facial bones"),
    Region.MANDIBLE: Code("91609006", "SCT", "Mandible"),
    Region.HUMERUS: Code("85050009", "SCT", "Humerus"),
    Region.FOREARM: Code("14975008", "SCT", "Forearm"),
    Region.HAND: Code("85562004", "SCT", "Hand"),
    Region.ILIUM: Code("22356005", "SCT", "Ilium"),
    Region.ISCHIUM: Code("85710004", "SCT", "Ischium"),
    Region.PUBIS: Code("16884005", "SCT", "Pubis"),
    Region.FOOT: Code("56459004", "SCT", "Foot"),
}
"""Where most of a lesion lies; nothing is coded where no bone was found."""

SIDES: dict[Side, Code] = {
    Side.LEFT: Code("7771000", "SCT", "Left"),
    Side.RIGHT: Code("24028007", "SCT", "Right"),
}
"""The midline has no code: most sites on it are unpaired."""

VIEWS: dict[View, Code] = {
    View.ANTERIOR: Code("399321004", "SCT", "Anterior projection"),
    View.POSTERIOR: Code("399001007", "SCT", "Posterior projection"),
}

LESION = Code("52988006", "SCT", "Lesion")
"""What a model's mark is: what it may be is stated as a suspicion."""
SUSPECTED = Code("SUSPECTED", OURS, "Suspected finding")
CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
METASTASIS = Code("94222008", "SCT", "Metastatic malignant neoplasm to bone")
FINDING = Code("121071", "DCM", "Finding")
IMAGE_VIEW = Code("111031", "DCM", "Image View")
COMMENT = Code("121106", "DCM", "Comment")
SOURCE_IMAGE = Code("121322", "DCM", "Source Image for Image Processing Operation")
WHOLE_BODY_SCAN = Code("41747008", "SCT", "Bone scan")
ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")
NEOPLASM = Code("14799000", "SCT", "Neoplasm, Secondary")
SEGMENTATION = Code("113076", "DCM", "Segmentation")
AI = Code("123110", "DCM", "Artificial Intelligence")

AREA = Code("42798000", "SCT", "Area")
AREA_IN_PIXELS = Code("AREA_PX", OURS, "Area in pixels")
COUNTS_TOTAL = Code("COUNTS_TOTAL", OURS, "Total counts")
COUNTS_MEAN = Code("COUNTS_MEAN", OURS, "Mean counts per pixel")
COUNTS_MAX = Code("COUNTS_MAX", OURS, "Counts of the hottest pixel")
CONTRAST = Code("CONTRAST", OURS, "Mean counts over those of the bone around")
CONTRAST_MIRROR = Code("CONTRAST_MIRROR", OURS, "Mean counts over those of the mirrored place")
PROBABILITY = Code("PROBABILITY", OURS, "Mean probability by the model")
LESIONS = Code("LESIONS", OURS, "Number of lesions")
SKELETON_SHARE = Code("SKELETON_SHARE", OURS, "Lesion pixels over skeleton pixels")

SQUARE_MILLIMETRES = Code("mm2", "UCUM", "square millimeter")
PIXELS = Code("{pixels}", "UCUM", "pixels")
PERCENT = Code("%", "UCUM", "Percent")
COUNTS = Code("{counts}", "UCUM", "counts")
RATIO = Code("{ratio}", "UCUM", "ratio")
NO_UNITS = Code("1", "UCUM", "no units")


def item(code: Code) -> Dataset:
    """Return a code as an item of a code sequence (PS3.3 8.8)."""
    dataset = Dataset()
    dataset.CodeValue, dataset.CodingSchemeDesignator, dataset.CodeMeaning = code.value, code.scheme, code.meaning
    return dataset
