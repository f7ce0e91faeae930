"""The progressive search: what is drawn, within which budget, and who decides what comes next."""
