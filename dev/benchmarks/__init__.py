"""The parts of `dev/bench gate`."""
