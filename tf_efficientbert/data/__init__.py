"""Reading task files and text, the tokenizer, and batching."""
