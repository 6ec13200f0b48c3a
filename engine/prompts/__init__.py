"""Prompts: text, learned (single, class, hidden, conditional, point), their tuning and their files."""
