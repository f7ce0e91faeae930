"""Writes report.html, one page about a search, finished or not.

Example:
    tf-efficientbert search_report --study=runs/quickstart
"""

from tf_efficientbert.reporting.report import ReportOptions, write_report
from trainers.job import print_figures, run_job

if __name__ == "__main__":
    run_job(ReportOptions, write_report, print_figures)
