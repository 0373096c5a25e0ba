"""The contract as files."""
