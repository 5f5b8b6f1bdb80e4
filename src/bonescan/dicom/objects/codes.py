"""The codes in written objects: SNOMED CT, DCM and UCUM, and private codes where no public dictionary has one.

The designator 99BONESCAN marks the private codes (PS3.16 8.2 reserves 99... for that); docs/reference lists them.
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
"""Codes of the region in which most of a lesion lies; without a bone no code is written."""

LEVELS: dict[str, Code] = {
    "C1": Code("14806007", "SCT", "C1 vertebra"),
    "C2": Code("39976000", "SCT", "C2 vertebra"),
    "C3": Code("113205007", "SCT", "C3 vertebra"),
    "C4": Code("5329002", "SCT", "C4 vertebra"),
    "C5": Code("36978003", "SCT", "C5 vertebra"),
    "C6": Code("36054005", "SCT", "C6 vertebra"),
    "C7": Code("87391001", "SCT", "C7 vertebra"),
    "T1": Code("64864005", "SCT", "T1 vertebra"),
    "T2": Code("53733008", "SCT", "T2 vertebra"),
    "T3": Code("1626008", "SCT", "T3 vertebra"),
    "T4": Code("73071006", "SCT", "T4 vertebra"),
    "T5": Code("56401006", "SCT", "T5 vertebra"),
    "T6": Code("45296009", "SCT", "T6 vertebra"),
    "T7": Code("62487009", "SCT", "T7 vertebra"),
    "T8": Code("11068009", "SCT", "T8 vertebra"),
    "T9": Code("82687006", "SCT", "T9 vertebra"),
    "T10": Code("7610001", "SCT", "T10 vertebra"),
    "T11": Code("12989004", "SCT", "T11 vertebra"),
    "T12": Code("23215003", "SCT", "T12 vertebra"),
    "L1": Code("66794005", "SCT", "L1 vertebra"),
    "L2": Code("14293000", "SCT", "L2 vertebra"),
    "L3": Code("36470004", "SCT", "L3 vertebra"),
    "L4": Code("11994002", "SCT", "L4 vertebra"),
    "L5": Code("49668003", "SCT", "L5 vertebra"),
    "rib 1": Code("48535007", "SCT", "First rib"),
    "rib 2": Code("78247007", "SCT", "Second rib"),
    "rib 3": Code("25888004", "SCT", "Third rib"),
    "rib 4": Code("25523003", "SCT", "Fourth rib"),
    "rib 5": Code("15339008", "SCT", "Fifth rib"),
    "rib 6": Code("59558009", "SCT", "Sixth rib"),
    "rib 7": Code("24915002", "SCT", "Seventh rib"),
    "rib 8": Code("5953002", "SCT", "Eighth rib"),
    "rib 9": Code("22565002", "SCT", "Ninth rib"),
    "rib 10": Code("77644006", "SCT", "Tenth rib"),
    "rib 11": Code("58830002", "SCT", "Eleventh rib"),
    "rib 12": Code("43993008", "SCT", "Twelfth rib"),
}
"""Codes of the most likely vertebra or rib, as a modifier of the site, which is the region of the spine or the ribs.
Vertebrae as in CID 7602; SNOMED CT has the single ribs, which no context group of DICOM lists."""

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
"""The type of a lesion that a model found; that it may be a metastasis is coded as a suspicion."""
SUSPECTED = Code("SUSPECTED", OURS, "Suspected finding")
CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
METASTASIS = Code("94222008", "SCT", "Metastatic malignant neoplasm to bone")
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

LEVEL_PLUS_MINUS = Code("LEVEL_PLUS_MINUS", OURS, "Vertebrae or ribs by which the level may be off")
PAIR = Code("PAIR", OURS, "Number of the lesion that both views show")
LESIONS_IN_ALL = Code("LESIONS_IN_ALL", OURS, "Number of lesions, those of both views counted once")
POSITIVE_SHARE = Code("POSITIVE_SHARE", OURS, "Lesion area over skeletal area in both views")
BONE_SCAN_INDEX = Code("BONE_SCAN_INDEX", OURS, "Bone scan index (Imbriaco 1998)")
MASS_SEEN = Code("MASS_SEEN", OURS, "Share of the skeletal mass that the index covers")
GRADE = Code("EXTENT_GRADE", OURS, "Extent of disease grade (Soloway 1988)")

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
