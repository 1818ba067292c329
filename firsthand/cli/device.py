"""`firsthand device`: recorders, each bound to a person."""

from firsthand.cli import controls
from firsthand.cli.nouns import noun

app = noun("Recorders, each bound to a person.")
controls.add_to(app)
