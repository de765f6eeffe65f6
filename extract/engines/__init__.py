"""Where spans of an extraction are worked on: by ranks that somebody else started, processes of this machine, Ray."""
