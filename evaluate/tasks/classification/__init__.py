"""The judge of classifiers: how often the class is right, beside always giving the most frequent one."""
