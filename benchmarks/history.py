"""How the model that ships came to be: `python benchmarks/history.py`, in a clone with its whole history.

Of each version of the bundle in git: what it learned from, and the figures that `quality.py` and `people.py` left in
results/ while it was the one that shipped. Each version was measured on the phantom of its time, and lesions are
inserted into the bones that a model sees: figures of two versions compare roughly. Commit the results first: those of
the last revision are read.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from bonescan.bundle import learned_from
from common import write_report

BUNDLE = "src/bonescan/bundles/phantom-unet"
ROOT = Path(__file__).parents[1]
_LEARNED = ("steps", "seed", "learning_rate", "only", "anatomies", "patients", "start_share")
"""What a row takes of the record of a training."""


def git(*words: str) -> str:
    """What a git command prints; empty where it fails, as for a file that a revision lacks."""
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout


def stored(revision: str, path: str) -> dict[str, Any]:
    """A JSON file of a revision; empty where it is not there."""
    text = git("show", f"{revision}:{path}")
    return dict(json.loads(text)) if text else {}


def version(first: str, last: str) -> dict[str, Any]:
    """The bundle of a revision, and the figures of `last`, the revision before the next bundle."""
    training = stored(first, f"{BUNDLE}/bundle.json")["training"]
    learned = learned_from(training)
    row = {key: learned.get(key) for key in _LEARNED} | {
        "date": git("show", "-s", "--format=%as", first).strip(),
        "phantom": learned.get("sources", {}).get("phantom"),
    }
    # While the weights stay, a bundle may get another description, and so another hash: that of bundle.json.
    described = git("log", "--format=%H", f"{first}^..{last}", "--", f"{BUNDLE}/bundle.json").split()
    own = {sha256(git("show", f"{one}:{BUNDLE}/bundle.json").encode()).hexdigest() for one in described}
    quality, people = (stored(last, f"results/{name}.json") for name in ("quality", "people"))
    if people and people["models"][0]["model"]["sha256"] in own:
        judged = people["models"][0]
        row["sha256"] = judged["model"]["sha256"]
        row["people"] = {
            "outlines_per_scan": judged["marks"]["balanced"]["per_scan"],
            "found_from_contrast_1": judged["inserted"]["sensitivity_from_contrast_1"],
        }
    if quality and quality["model"]["sha256"] in own and "sensitivity_at" in quality["froc"]:
        found = quality["froc"]["sensitivity_at"]["0.5"]
        row["phantoms"] = {"dsc_pooled": quality["pixel"]["dsc_pooled"]["value"], "sensitivity_at_0.5": found}
    return row


def main() -> int:
    """Read, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if git("rev-parse", "--is-shallow-repository").strip() != "false":
        raise SystemExit("this folder is no clone with its whole history: clone it without --depth")
    all_revisions = git("log", "--reverse", "--format=%H").split()
    own = git("log", "--reverse", "--format=%H", "--", f"{BUNDLE}/model.safetensors").split()
    places = [*(all_revisions.index(one) for one in own), len(all_revisions)]
    rows = [version(all_revisions[here], all_revisions[after - 1]) for here, after in pairwise(places)]
    for row in rows:
        print(json.dumps(row))
    write_report(arguments.json, {"command": "python benchmarks/history.py", "versions": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
