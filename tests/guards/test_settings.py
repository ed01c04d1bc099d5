"""A setting without effect is an error in a request, and no better in our own table."""

import ast
import dataclasses

from guards.source import find_modules, report
from sfumato.core.settings import Settings


def test_every_setting_is_read_by_something():
    readers = [
        module
        for module in find_modules("src")
        if module.name != "sfumato.core.settings" and ("load_settings" in module.text or "Settings" in module.text)
    ]
    read = {node.attr for module in readers for node in module.nodes if isinstance(node, ast.Attribute)}
    fields = [field.name for field in dataclasses.fields(Settings)]
    report([f"nothing reads the setting {name}" for name in fields if readers and name not in read])
