"""The command line: thin, each command imports only what it needs."""
