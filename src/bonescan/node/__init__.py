"""The node: receives studies over DICOM, segments each when it is complete, and sends the results (extra `node`).

`receiver.py` takes the objects; `run.py` decides when a study is complete; `jobs.py` segments it, and delivers and
retries; `status.py` says what is done.
"""
