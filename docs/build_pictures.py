"""Draw the pictures of docs/images: python docs/build_pictures.py. Needs pdftoppm.

overlay.png and report.png are of one simulated scan; `benchmarks/phantom_sheet.py` draws phantoms.png and
phantoms-full.png. Run by hand after a change of the phantom, the model, the picture or the page; the same phantom
and model make the same pictures.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

IMAGES = Path(__file__).parent / "images"
SHEET = Path(__file__).parents[1] / "benchmarks" / "phantom_sheet.py"
_DOTS_AN_INCH = 96


def main() -> None:
    """Draw all pictures."""
    for options in ((), ("--full", "7", "3", "-o", IMAGES / "phantoms-full.png")):
        subprocess.run([sys.executable, SHEET, *options], check=True)
    draw_result()


def draw_result() -> None:
    """Simulate, segment, and draw the page."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for command in (
            ("bonescan", "simulate", "-o", "cohort", "--count", "1", "--seed", "2", "--header", "ge"),
            ("bonescan", "segment", "cohort", "-o", "result", "--format", "png,pdf"),
        ):
            subprocess.run(command, cwd=work, check=True)
        (page,) = work.glob("result/*/report.pdf")
        subprocess.run(["pdftoppm", "-r", str(_DOTS_AN_INCH), "-png", "-singlefile", page, work / "page"], check=True)
        with Image.open(work / "page.png") as drawn:
            drawn.save(IMAGES / "report.png", optimize=True)
        (overlay,) = work.glob("result/*/overlay.png")
        shutil.copyfile(overlay, IMAGES / "overlay.png")


if __name__ == "__main__":
    main()
