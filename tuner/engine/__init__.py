"""The coordinator of a command: its workers, what they do with a candidate, the confirmation."""
