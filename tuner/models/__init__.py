"""Where models come from: references become folders that transformers can load."""
