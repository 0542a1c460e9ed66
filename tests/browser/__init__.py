"""The console, as people use it: in a browser, against the real stack."""

import sys

from lab import ROOT

sys.path.insert(0, str(ROOT / "build" / "playwright"))  # scripts/browser_packages.sh
