"""What the fine-tuning passes share: examples, batches, losses, the loop, adapters."""
