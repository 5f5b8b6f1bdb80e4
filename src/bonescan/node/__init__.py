"""The node: receives studies over DICOM, segments each when it is complete, and sends the results (extra `node`)."""
