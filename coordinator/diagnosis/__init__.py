"""Why it failed: facts are watched as they are committed, failures of one cause become one incident, and each incident
gets a report that says what is wrong, how sure that is, and what to do.

    watching    watch.py (what the engine committed), sensors.py (fleet, broker, database), redaction.py
    grouping    template.py and signals.py (what an error says), incidents.py
    gathering   case.py (everything known), collector.py
    explaining  analyser/ (a case becomes a report: rules and arithmetic, nothing else), similar.py
    wording     llm/ (prose from a language model, checked against the evidence), markdown.py
    mending     healing/ (remedies within bounds)
    the loop    reporter.py

All of it stands beside the sagas' path: nothing there waits for anything here, and what is lost here is prose.
"""
