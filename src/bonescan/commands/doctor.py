"""`bonescan doctor`: what this machine has, and whether it works."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass

from bonescan.commands.base import DONE, NOTHING_DONE, RESEARCH_USE_ONLY, Command, Console, add_json
from bonescan.system import extras


@dataclass(frozen=True, slots=True)
class Doctor(Command):
    """Say what this machine has, whether it works, and how to install what is missing for each command."""

    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        add_json(parser)

    def run(self, console: Console) -> int:
        """Examine; exit code 2 when `bonescan segment` would not work."""
        from bonescan.commands.examine import examine

        checks = examine()
        broken = [check for check in checks if check.needed and not check.ok]
        if self.json:
            checked = [asdict(check) for check in checks]
            console.out_json({"research_use_only": True, "works": not broken, "checks": checked})
            return NOTHING_DONE if broken else DONE
        width = max(len(check.name) for check in checks)
        for check in checks:
            mark = "ok" if check.ok else ("BROKEN" if check.needed else "-")
            console.out(f"{mark:<6}  {check.name:<{width}}  {check.found}")
        for mend in dict.fromkeys(check.mend for check in checks if check.mend):
            lacking = [check.name for check in checks if check.mend == mend]
            console.out(f"{', '.join(lacking)}: {mend}")
        choice = extras.smaller_torch("train")
        if choice:
            console.out(f"torch: {choice}")
        console.out(f"{len(broken)} broken" if broken else "Everything that `bonescan segment` needs works.")
        console.out(RESEARCH_USE_ONLY)
        return NOTHING_DONE if broken else DONE
