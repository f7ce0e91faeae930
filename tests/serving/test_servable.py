"""Threads of a loaded version."""

import tensorflow as tf

from serving.batching import BatchingOptions
from serving.servable import Servable
from tests.serving.served_models import save_words


def test_a_request_s_own_thread_runs_the_model_on_the_given_cores(tmp_path, monkeypatch):
    save_words(tmp_path, 1)
    configs, runs = [], []

    class Session(tf.compat.v1.Session):
        def __init__(self, *arguments, config, **others):
            configs.append(config)
            super().__init__(*arguments, config=config, **others)

        def _make_callable_from_options(self, options):
            runs.append(options.run_options)
            return super()._make_callable_from_options(options)

    monkeypatch.setattr(tf.compat.v1, "Session", Session)
    servable = Servable("words", 1, tmp_path / "1", BatchingOptions(), lambda rows: None, 3)
    servable.close()
    assert [config.intra_op_parallelism_threads for config in configs] == [3]
    assert runs and all(options.inter_op_thread_pool == -1 for options in runs)
