"""The beginnings of packages that bring weldcache a source, a recipe or a judge, each with its test."""
