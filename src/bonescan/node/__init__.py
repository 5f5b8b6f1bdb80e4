"""The node: receives studies over DICOM, segments each when it is quiet, and sends the results on (extra `node`)."""
