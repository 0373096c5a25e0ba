"""How a diagnosis is worded by a language model, where one is configured.

    pack.py       what the model gets to see: the report's own hypotheses, remedies and evidence, under ids
    draft.py      what it may answer: ids out of the pack, and short prose
    checking.py   every sentence is held against what it cites; one that says more is dropped, and a draft of many such
    merging.py    what survives replaces the prose of the report, and nothing else of it
    asking.py     one bounded request to any server that speaks OpenAI's way
    budget.py     how often that may happen, and when to stop trying
    narrator.py   all of it in order: a report in, a report out, whatever the model does

The model chooses among what the rules found admissible. It can make a report less sure, never surer; it names nothing
that isn't there; and a remedy never rests on its word.
"""
