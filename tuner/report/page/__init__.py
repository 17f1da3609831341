"""The report's page: what it says (`document`, `collect`) and how it looks (`render`)."""
