"""Fine-tuning of prompts on accepted instances (methods/prompts.md): the job, its material, its loss and its figures."""
