"""What the figures show: metrics, resampling, paired tests. Nothing here decides."""
