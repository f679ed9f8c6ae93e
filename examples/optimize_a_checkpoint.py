"""What each decision of the stack gains on a real checkpoint; short, so that it takes seconds.

With seq_len=128 and all of data/sentences.txt it is the table of README, in a few minutes.
"""

from pathlib import Path

import inferstack as ist

ROOT = Path(__file__).parents[1]
folder, _ = ist.fetch_sample(into=ROOT / "samples")

lines = (ROOT / "data" / "sentences.txt").read_text(encoding="utf-8").splitlines()
result = ist.load(folder).optimize(lines[:12], "gemmini", seq_len=16, check=1, out="optimized")
print(result)

first, last = result.decisions[0], result.decisions[-1]
print(f"\n{first.cycles / last.cycles:.1f} times fewer cycles than the baseline")
print(f"wrote {result.save_report('report.html')}")
print(result.integer_model())
