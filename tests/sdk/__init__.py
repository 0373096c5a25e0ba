"""The SDK: what a participant may rely on, on both databases."""
