"""Mending what can be mended without a person: within bounds, through the commands that a person has, and taken back
where it does not help. `policy.py` decides, `healer.py` carries out."""
