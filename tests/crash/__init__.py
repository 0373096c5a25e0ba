"""Processes killed at the worst moments, and what is there afterwards."""
