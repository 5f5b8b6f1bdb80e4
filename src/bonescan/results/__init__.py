"""Folders of results: written at once or not at all, read back, and tables of many; `report` and `dicom` make files."""
