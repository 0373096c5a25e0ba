"""Golden lives."""
