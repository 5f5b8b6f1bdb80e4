"""The font of pages and pictures that name people; README.md says where it is from."""

from __future__ import annotations

from pathlib import Path

SANS, BOLD = "DejaVuSansCondensed", "DejaVuSansCondensed-Bold"
SANS_FILE, BOLD_FILE = (Path(__file__).parent / f"{name}.ttf" for name in (SANS, BOLD))
