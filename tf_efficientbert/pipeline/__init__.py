"""All jobs in one call: from text to a searched, distilled, exported student."""

from tf_efficientbert.pipeline.run import PipelineOptions, run_pipeline

__all__ = ["PipelineOptions", "run_pipeline"]
