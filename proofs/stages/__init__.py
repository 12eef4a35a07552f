"""The stages of the ladder: each looks for a proof or a counterexample in its own way."""
