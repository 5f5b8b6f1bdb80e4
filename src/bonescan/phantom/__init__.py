"""Simulated patients: a three-dimensional skeleton, uptake, lesions, a camera, and the truth that goes with them.

Start with `patient.py`: each name in `make_patient` leads to the module that does that step.
"""

from bonescan.phantom.anatomy import Anatomy, make_anatomy
from bonescan.phantom.patient import Phantom, make_patient
from bonescan.phantom.truth import LesionRecord

__all__ = ["Anatomy", "LesionRecord", "Phantom", "make_anatomy", "make_patient"]
