"""Text from a built model: one answer, or a conversation."""
