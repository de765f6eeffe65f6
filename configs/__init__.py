"""Settings: a typed schema, strict loading from YAML and overrides, and the built-in presets."""
