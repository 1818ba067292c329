"""Who is asking, and who may look at what: named access keys, and viewing with four eyes."""
