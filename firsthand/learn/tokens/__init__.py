"""From pixels, motion and sound to ticks: sixteen tokens a second, fitted on the release itself."""
