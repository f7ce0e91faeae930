"""TF Serving's side of a model: configs, a local server, a client and a load test."""
