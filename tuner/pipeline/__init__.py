"""Stages, their keys, and the store of their results."""
