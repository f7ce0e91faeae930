from tf_efficientbert.search.evaluator import Outcome


def test_the_score_is_that_of_the_best_epoch():
    epochs = [(0.5, 1.0), (0.75, 3.0), (0.75, 2.0), (0.5, 0.5)]
    history = [{"loss_7": 9.0, "score_7": s, "held_out_loss_7": loss} for s, loss in epochs]
    history.append({"loss_7": 8.0})  # its last epoch had no finite score
    outcome = Outcome.of_training(7, history, 12.0, "")
    assert (outcome.score, outcome.loss, outcome.seconds) == (0.75, 2.0, 12.0)
    assert outcome.losses == (9.0, 9.0, 9.0, 9.0, 8.0)
