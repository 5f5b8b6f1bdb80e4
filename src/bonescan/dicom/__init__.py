"""Everything that knows DICOM: reading scans, telling the views apart, writing phantoms as scans.

DICOM's column-row order and its half-pixel origin exist only in here.
"""
