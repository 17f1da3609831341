"""The study: its events, its database, its history."""
