"""Writes a space to begin with, for a model, a task, a device and maybe data."""
