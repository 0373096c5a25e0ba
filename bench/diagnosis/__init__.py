"""Is the diagnosis right? Faults are really injected into really running sagas, and every report is graded against what
the injector knows.

    loop.py        a clock that jumps, and SQLite without threads
    topology.py    services, definitions, dependencies: the world at rest
    inbox.py service.py network.py world.py     the world as it runs: the real coordinator, the SDK's participants
    wording.py     how libraries word their errors
    faults.py      what goes wrong
    development.py heldout.py     the cases, and what is true of each
    grading.py baselines.py gates.py            how a report is judged, and whether the cases are worth anything
"""
