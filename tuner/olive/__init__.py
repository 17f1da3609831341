"""Olive's configs, of today's schema and of that of 2024, become spaces."""
