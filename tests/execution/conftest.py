"""What the tests of workers share: their jobs and looks at processes, found by name."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # workers find modules where their owner does
