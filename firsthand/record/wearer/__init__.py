"""The wearer's hand on the device: pause, forget, bookmark, and lamp, button and policy."""
