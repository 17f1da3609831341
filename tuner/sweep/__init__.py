"""Nightly sweeps: many spaces in a row, night after night, and what became slower or worse."""
