"""The exceptions that bonescan raises on purpose.

::

    BonescanError
    ├── InputError            an input cannot be used: one sentence says why and what to do
    │   ├── ViewError         anterior and posterior cannot be told apart: give the views
    │   ├── LabelError        a label file (LabelMe, label picture) cannot be used
    │   └── NoCurvesError     a DICOM object is of a kind that never holds curves
    ├── OptionError           an option or a configuration is wrong
    ├── BundleError           a model bundle is missing, damaged or of another format
    └── OutputError           a result cannot be written

Every message is one sentence: what is wrong, with the value, and what to do.
No message carries anything that identifies a patient.
"""

from __future__ import annotations


class BonescanError(Exception):
    """Base of all errors that bonescan raises on purpose."""


class InputError(BonescanError):
    """An input cannot be used."""


class ViewError(InputError):
    """Anterior and posterior cannot be told apart, or the sources contradict one another."""


class LabelError(InputError):
    """A label file cannot be used."""


class NoCurvesError(InputError):
    """A DICOM object is of a kind that never holds curves, as a report as PDF."""


class OptionError(BonescanError):
    """An option or a configuration value is wrong."""


class BundleError(BonescanError):
    """A model bundle is missing, damaged, or of a format that this version does not read."""


class OutputError(BonescanError):
    """A result cannot be written."""
