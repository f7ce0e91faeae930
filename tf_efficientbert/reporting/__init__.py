"""A run's report as one self-contained HTML page; `page.page` is the way in."""
