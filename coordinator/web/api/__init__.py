"""The REST API, one controller per resource."""
