"""HTML reports: `report.write_report` turns the folder of a search or a run into one page."""
