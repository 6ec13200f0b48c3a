"""The command line: a public interface (exit 0 ok, 2 usage, 3 known error, 130 cancelled; `--json` everywhere)."""
