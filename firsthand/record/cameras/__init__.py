"""Where samples come from: a Pi's camera, webcams, streams, files, and the watch over them."""
