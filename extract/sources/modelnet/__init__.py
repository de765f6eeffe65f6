"""ModelNet40: shapes by class, as meshes or as resampled points, each turned about the vertical several times."""
