"""The three-stage search of the feed-forward cells; `search.search` is the way in."""
