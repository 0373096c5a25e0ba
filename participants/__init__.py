"""The participants of the demo, and two that are built in: `http` and `llm`."""
