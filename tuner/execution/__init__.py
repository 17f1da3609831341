"""Runs stages and measurements in processes of their own, under limits."""
