"""Write the stored phantom and the shipped model's result on it: `.venv/bin/python tests/golden/make_golden.py`.

Run it when the shipped model is replaced, and look at the difference before committing it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bonescan.phantom import make_anatomy, make_patient
from bonescan.pipeline import load_model, segment
from bonescan.reading import read_study
from bonescan.report.lesions_json import write_lesions
from bonescan.study import View

HERE = Path(__file__).parent
SCAN = HERE / "golden-phantom" / "scan.npz"
RESULT = HERE / "lesions.json"
ANATOMY, PATIENT = 940_000, 4


def main() -> None:
    """Simulate once, then segment what was stored."""
    if not SCAN.exists():
        SCAN.parent.mkdir()
        phantom = make_patient(make_anatomy(ANATOMY), PATIENT)
        counts = {str(view): phantom.study.counts(view).astype(np.uint16) for view in View}
        spacing = phantom.study.spacing
        assert spacing is not None
        np.savez_compressed(SCAN, **counts, spacing_mm=np.array([spacing.row_mm, spacing.col_mm]))
    result = segment(read_study(SCAN), load_model())
    write_lesions(result, RESULT)
    print(f"{len(result.lesions)} lesions in {RESULT}")


if __name__ == "__main__":
    main()
