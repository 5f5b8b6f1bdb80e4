"""Whether the views of a study may be the wrong way round: who draws or trains on them must be told before."""

from __future__ import annotations

from bonescan.dicom.values import AGAINST_HEADER
from bonescan.prepare import looks_exchanged
from bonescan.prepare.aggregate import binned_pair
from bonescan.prepare.order import EXCHANGED
from bonescan.study import Study


def view_doubts(study: Study) -> tuple[str, ...]:
    """Warnings: the views were stated against the header, or the picture looks as if they were exchanged."""
    stated = stated_against_header(study)
    return (*stated, EXCHANGED) if looks_exchanged(binned_pair(study)) else stated


def stated_against_header(study: Study) -> tuple[str, ...]:
    """The warning that the views were stated against the header, if there is one."""
    return tuple(warning for warning in study.warnings if warning.startswith(AGAINST_HEADER))
