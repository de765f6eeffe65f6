"""Classes from four modalities, whose embeddings are learned by supervised contrast and told by nearest neighbours."""
