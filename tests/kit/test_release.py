"""What a release is made of, by a dry run."""

import subprocess
from pathlib import Path

from services.version import VERSION


def test_wheel_and_kit_have_the_sums_that_are_listed(release: Path) -> None:
    """As somebody compares them who has downloaded the three files."""
    names = sorted(path.name for path in release.iterdir())
    assert len(names) == 3
    sums, wheel, kit = names
    assert (sums, wheel) == ("SHA256SUMS", f"wirelab-{VERSION}-py3-none-any.whl")
    assert kit.startswith(f"wirelab-kit-{VERSION}-")
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", sums],
        cwd=release, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert sorted(done.stdout.splitlines()) == [f"{wheel}: OK", f"{kit}: OK"]
