"""YAML as people mean it: only `true` and `false` are booleans, so that `off` can be the name of a choice."""

import re
from typing import Any

import yaml


class PlainLoader(yaml.SafeLoader):
    """The safe loader with the booleans of YAML 1.2 (section 10.3.2); 1.1 has `on`, `off`, `yes` and `no` too."""


_BOOLEAN = "tag:yaml.org,2002:bool"

PlainLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOLEAN]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
PlainLoader.add_implicit_resolver(_BOOLEAN, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def parse_yaml(text: str) -> Any:
    """The value of a YAML document; None for an empty one.

    Raises:
        yaml.YAMLError: if it is not YAML.
    """
    loader = PlainLoader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()
