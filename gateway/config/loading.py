"""Reads the configuration: defaults, overridden by the file, overridden by the environment."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Callable, Mapping
from pathlib import Path

from builder.protocol.registries import check_registry
from gateway.config.checks import check_config
from gateway.config.secret import Secret
from gateway.config.sections import Config, Sites
from gateway.errors import ConfigError

ENVIRONMENT_NAMES = {
    "DATABASE_URL": ("postgres", "url"),
    "KAFKA_BROKERS": ("kafka", "brokers"),
    "KAFKA_TOPIC": ("kafka", "topic"),
    "CLICKHOUSE_HOST": ("clickhouse", "host"),
    "CLICKHOUSE_USER": ("clickhouse", "user"),
    "CLICKHOUSE_PASSWORD": ("clickhouse", "password"),
    "CLICKHOUSE_DATABASE": ("clickhouse", "database"),
    "S3_BUCKET": ("s3", "bucket"),
    "S3_REGION": ("s3", "region"),
    "S3_ENDPOINT": ("s3", "endpoint"),
    "ACCESS_KEY_ID": ("s3", "access_key_id"),
    "SECRET_ACCESS_KEY_ID": ("s3", "secret_access_key"),
    "CLUSTER_ARN": ("ecs", "cluster"),
    "TASK_ARN": ("ecs", "task_definition"),
}
"""Well-known names. Every other setting is BUILDSPACE_<SECTION>_<KEY>."""


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Raises ConfigError for a setting that is unknown or wrong."""
    values: dict[str, dict[str, object]] = _read(path) if path is not None else {}
    sections = {
        field.name: typing.cast("type[typing.Any]", field.default_factory) for field in dataclasses.fields(Config)
    }
    for section, keys in values.items():
        if section not in sections or not isinstance(keys, dict):
            raise ConfigError(f"{section}: there is no such section; the sections are {', '.join(sections)}.")
        for key in keys:
            if key not in sections[section].__dataclass_fields__:
                known = ", ".join(sections[section].__dataclass_fields__)
                raise ConfigError(f"{section}.{key}: there is no such setting; {section} has {known}.")
    for name, text in environ.items():
        if (place := _place(name, sections)) is not None:
            section, key = place
            values.setdefault(section, {})[key] = _from_text(name, text, _type_of(sections[section], key))
    config = Config(**{name: _section(name, kind, values.get(name, {})) for name, kind in sections.items()})
    # The shipped file sets the default port: that alone does not mean that the operator asked for it.
    if "BUILDSPACE_SITES_URL" not in environ and config.sites.url == Sites().url:
        url = config.sites.url.replace(f":{Sites().port}", f":{config.sites.port}")
        config = dataclasses.replace(config, sites=dataclasses.replace(config.sites, url=url))
    check_config(config)
    try:
        check_registry(environ)  # builders get it, and their builds
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return config


def _read(path: Path) -> dict[str, dict[str, object]]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error


def _place(name: str, sections: Mapping[str, type[typing.Any]]) -> tuple[str, str] | None:
    """The (section, key) that an environment variable sets. None if it is not one of ours."""
    if name in ENVIRONMENT_NAMES:
        return ENVIRONMENT_NAMES[name]
    if not name.startswith("BUILDSPACE_"):
        return None
    for section, kind in sections.items():
        key = name.removeprefix(f"BUILDSPACE_{section.upper()}_").lower()
        if name.startswith(f"BUILDSPACE_{section.upper()}_") and key in kind.__dataclass_fields__:
            return section, key
    raise ConfigError(f"{name}: there is no such setting; names are BUILDSPACE_<SECTION>_<KEY>, as in config.toml.")


def _type_of(section: type, key: str) -> object:
    return typing.get_type_hints(section)[key]


def _from_text(name: str, text: str, kind: object) -> object:
    if kind is int or kind is float:
        try:
            return typing.cast("Callable[[str], object]", kind)(text)
        except ValueError as error:
            raise ConfigError(f"{name}: expected {_word(kind)}, not {text!r}.") from error
    if kind is bool:
        if text not in ("true", "false"):
            raise ConfigError(f"{name}: expected {_word(kind)}, not {text!r}.")
        return text == "true"
    if kind == list[str]:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _section(name: str, kind: type, values: Mapping[str, object]) -> typing.Any:
    return kind(**{key: _value(f"{name}.{key}", value, _type_of(kind, key)) for key, value in values.items()})


def _value(name: str, value: object, kind: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind == list[str] and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise ConfigError(f"{name}: expected {_word(kind)}, not {'...' if kind is Secret else repr(value)}.")


def _word(kind: object) -> str:
    if kind == list[str]:
        return "a list of texts"
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(typing.cast("type", kind), "text")
