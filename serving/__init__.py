"""Serving of exported models: TF Serving configs, a local server, a client and a load test."""
