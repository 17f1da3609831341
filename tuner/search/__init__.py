"""What to try next, verdicts as the search needs them, and the front."""
