"""Write result folders completely or not at all, read them back, tabulate many; `report` and `dicom` make the files.

`folder.FORMATS` lists the output formats.
"""
