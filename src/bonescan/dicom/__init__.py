"""All code on DICOM: reading scans, telling the views apart, de-identification, and writing.

Phantoms are written as scans, and results as objects (`objects/`), which are also read back.

DICOM's (column, row) order and its half-pixel origin are used only in this package.
"""
