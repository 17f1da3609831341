"""One-shot commands: a pipeline with everything fixed, written as the space that does the same."""
