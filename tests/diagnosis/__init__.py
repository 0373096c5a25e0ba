"""Diagnosis: what an error says, what is wrong, what is done about it."""
