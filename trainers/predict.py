"""Predicts labels for text with a saved model.

Example:
    tf-efficientbert predict --model=runs/student/model --text="What a lovely film."
"""

from tf_efficientbert.inference.predict import PredictOptions, predict, tab_separated
from trainers.job import run_job


def print_predictions(result: dict) -> None:
    """Prints a line for each text: label, score, text."""
    for row in result["predictions"]:
        texts = [row["text"], row["second_text"]]
        print(tab_separated([row["label"], f"{row['score']:.4f}", *filter(None, texts)]))


if __name__ == "__main__":
    run_job(PredictOptions, predict, print_predictions)
