import pytest
import tensorflow as tf

from tf_efficientbert.errors import UserError
from tf_efficientbert.training.strategy import make_strategy


def test_the_default_strategy_has_one_replica():
    assert make_strategy("default").num_replicas_in_sync == 1


def test_the_mirrored_strategy_has_a_replica_on_each_device():
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    strategy = make_strategy("mirrored")
    assert isinstance(strategy, tf.distribute.MirroredStrategy)
    assert strategy.num_replicas_in_sync == len(devices)


@pytest.mark.parametrize("name", ["", "Mirrored", "tpu"])
def test_the_error_for_an_unknown_strategy_lists_the_known_ones(name):
    message = f"^--strategy={name}: expected one of default, mirrored$"
    with pytest.raises(UserError, match=message):
        make_strategy(name)
