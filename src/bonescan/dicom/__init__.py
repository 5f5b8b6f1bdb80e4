"""All code on DICOM: reading scans, telling the views apart, writing phantoms as scans.

DICOM's (column, row) order and its half-pixel origin are used only in this package.
"""
