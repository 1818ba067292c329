"""After death: who may run, stop or delete a person's model, and when all of it is destroyed."""
