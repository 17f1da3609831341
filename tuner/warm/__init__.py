"""Lets a study begin with what earlier studies found."""
