"""The analyser: a case becomes a report, by rules and arithmetic and nothing else. The same case always gives the same
report; no clock is read, nothing is drawn, nothing is asked.
"""

from coordinator.diagnosis.analyser.analysis import analyse, version

__all__ = ["analyse", "version"]
