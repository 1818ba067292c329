"""The device: camera, recorder, card and the way home."""
