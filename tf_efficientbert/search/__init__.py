"""The three-stage search for feed-forward cells; the entry point is `search.search`."""
