"""Runs one contender of `benchmarks.inference`, in a separate process to isolate contenders.

    python -m benchmarks.inference_worker RUNTIME PRECISION FILE THREADS TOKENS

Reads a number of runs per line from standard input and writes a line of JSON with their
milliseconds. Runs one text of TOKENS real tokens, batch 1. Times include feeding the inputs and
fetching the logits. Imports only the runtime.
"""

import json
import os
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy's idle threads slow LiteRT by a third (2 threads)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

_WARM_UP = 2


def main() -> None:
    runtime, precision, path, threads, tokens = sys.argv[1:]
    draws = np.random.default_rng(0)
    inputs = {
        "token_ids": draws.integers(1000, 30000, (1, int(tokens)), dtype=np.int32),
        "segment_ids": np.zeros((1, int(tokens)), np.int32),
        "padding_mask": np.ones((1, int(tokens)), np.int32),
    }
    answers = sys.stdout
    sys.stdout = sys.stderr  # keeps the runtimes' output apart from the answers
    run = _RUNTIMES[runtime](path, precision, int(threads), inputs)
    logits = np.asarray(run()).ravel().tolist()
    print(json.dumps({"logits": logits}), file=answers, flush=True)
    for line in sys.stdin:
        times = []
        for i in range(-_WARM_UP, int(line)):
            start = time.perf_counter()
            run()
            if i >= 0:
                times.append(1000 * (time.perf_counter() - start))
        print(json.dumps(times), file=answers, flush=True)


def _tensorflow(path, precision, threads, inputs):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(path)
    (signature,) = loaded.signatures.values()

    def run(loaded=loaded):
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        return signature(**tensors)["logits"].numpy()

    return run


def _litert(path, precision, threads, inputs):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=threads)
    tokens = inputs["token_ids"].shape[1]
    run = interpreter.get_signature_runner(f"tokens_{tokens}")
    return lambda interpreter=interpreter: run(**inputs)["logits"]


def _onnxruntime(path, precision, threads, inputs):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(["logits"], inputs)[0]


def _openvino(path, precision, threads, inputs):
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    # In the int8 model OpenVINO chooses the precision of the rest: bfloat16 if the CPU supports it.
    hint = {"float32": "f32", "bfloat16": "bf16"}.get(precision)
    if hint:
        settings["INFERENCE_PRECISION_HINT"] = hint
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    request = compiled.create_infer_request()
    return lambda: request.infer(inputs, share_inputs=True)[0]


_RUNTIMES = {
    "tensorflow": _tensorflow,
    "litert": _litert,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}

if __name__ == "__main__":
    main()
