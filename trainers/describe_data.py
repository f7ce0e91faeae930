"""Shows how the jobs read your data: columns, labels, splits, and problems to fix.

Example:
    tf-efficientbert describe_data --train_file=reviews.csv --json=card.json
"""

from tf_efficientbert.data.card import card_text
from tf_efficientbert.inference.describe_data import DescribeDataOptions, describe_data
from trainers.job import run_job


def print_card(card: dict) -> None:
    """Prints the data card as text."""
    print(card_text(card))


if __name__ == "__main__":
    run_job(DescribeDataOptions, describe_data, print_card)
