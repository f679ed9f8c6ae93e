"""The pictures of the site, from real runs: `python docs/pictures.py`.

Needs the sample checkpoint and a Chromium; takes a minute.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import inferstack as ist
from inferstack.report.figures import fragment
from inferstack.report.page import page, section

DOCS = Path(__file__).resolve().parent
LARGEST_BYTES = 300_000


def photograph(source: Path, target: Path, width: int, height: int) -> None:
    """A page as a PNG of that many pixels."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    assert browser is not None, "no Chromium is installed"
    command = (
        *(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *("--virtual-time-budget=8000", f"--window-size={width},{height}"),
        *(f"--screenshot={target}", f"file://{source}"),
    )
    subprocess.run(command, check=True, capture_output=True)
    assert target.stat().st_size < LARGEST_BYTES, f"{target} is too large for a page"
    print(f"wrote {target.relative_to(DOCS.parent)}")


def main() -> int:
    """Runs what the tutorial runs, and photographs its pages."""
    repository, pictures = DOCS.parent, DOCS / "pictures"
    model = ist.load(repository / "samples" / "all-MiniLM-L6-v2")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        roofline = model.count(128, on="gemmini").save_roofline(place / "roofline.html")
        photograph(roofline, pictures / "roofline.png", 1100, 790)
        plan = model.map("gemmini-ibert", seq_len=128, objective="energy")
        plan.save(place / "mapped")
        photograph(place / "mapped" / "map.html", pictures / "map.png", 1100, 1000)
        result = model.optimize(
            repository / "data" / "sentences.txt", "gemmini", out=place / "optimized"
        )
        report = result.save_report(place / "report.html")
        photograph(report, DOCS / "report.png", 1180, 900)
        time = section("Where the time goes", "", fragment(result.figure("time")))
        (place / "time.html").write_text(page("", time, ist.__version__), encoding="utf-8")
        photograph(place / "time.html", pictures / "time.png", 1100, 560)
    return 0


if __name__ == "__main__":
    sys.exit(main())
