"""Compare results with the truth, by pixel and by lesion, with intervals over patients."""

from bonescan.evaluate.cohort import evaluate_folders
from bonescan.evaluate.matching import LesionCounts, LesionMatch, PixelCounts, count_pixels, froc, match_lesions
from bonescan.evaluate.report import ComparedImage, ImageName, ViewTruth, compare_image, report_text, summarise
from bonescan.evaluate.statistics import Bootstrap, Difference, Estimate, paired_difference, ratio, summary

evaluate = evaluate_folders

__all__ = [
    "Bootstrap",
    "ComparedImage",
    "Difference",
    "Estimate",
    "ImageName",
    "LesionCounts",
    "LesionMatch",
    "PixelCounts",
    "ViewTruth",
    "compare_image",
    "count_pixels",
    "evaluate",
    "evaluate_folders",
    "froc",
    "match_lesions",
    "paired_difference",
    "ratio",
    "report_text",
    "summarise",
    "summary",
]
