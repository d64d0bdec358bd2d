"""Files of predictions, from any framework: read, proved, laid side by side."""
