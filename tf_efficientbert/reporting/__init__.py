"""A search or a run as one HTML page: `report.write_report` draws what is in a folder."""
