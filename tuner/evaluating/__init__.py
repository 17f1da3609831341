"""Measuring one model, or two beside each other, without a study."""
