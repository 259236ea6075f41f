"""The captions that name a shape exactly."""
