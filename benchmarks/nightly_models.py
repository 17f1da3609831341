"""Makes the tiny Phi-3 of the nightly sweep: the architecture with random weights, always the same.

Run it once: `python benchmarks/nightly_models.py`. A model that is there is left as it is.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tuner.models.tiny import write_tiny

FOLDER = Path(__file__).parent / "nightly" / "models" / "tiny-phi3"


def main(folder: Path = FOLDER) -> None:
    """Write the model where the plan looks for it, whole or not at all."""
    if folder.exists():
        print(f"{folder} is there already")
        return
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    write_tiny("phi3", fresh)
    (folder.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    fresh.rename(folder)
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
