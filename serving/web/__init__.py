"""A page that answers in the browser, and what serves it."""
