"""The orientation of a point cloud as a mixture of von Mises peaks: PointNet++ on cached neighbourhoods."""
