"""Settings of worker events. The names under ``kafka`` are those of the reference system."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from ampd.config_values import AbsolutePath, Count, Days, Seconds, Section, no_boolean, split_texts

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


def _checked_brokers(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\s:\[\]/@,]+):\d{1,5}", text) is None:
            raise ValueError("must be brokers such as kafka-1.example.com:9092, each with its port")
    return texts


def _checked_topic(text: str) -> str:
    if _TOPIC.fullmatch(text) is None or text in {".", ".."}:
        raise ValueError("must be the name of a topic: letters, digits, '.', '_' and '-', 249 at most")
    return text


class KafkaConfig(Section):
    """Where worker events go."""

    brokers: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_texts), AfterValidator(_checked_brokers)] = ()
    topic: Annotated[str, AfterValidator(_checked_topic)] = "amp.worker.events"
    partitions: Annotated[int, BeforeValidator(no_boolean), Field(ge=1, le=100_000)] = 16
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: str | None = Field(default=None, repr=False)
    tls_enabled: bool = False
    tls_ca_file: AbsolutePath | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = (self.sasl_mechanism, self.sasl_username, self.sasl_password)
        if any(each is not None for each in given) and not all(given):
            raise ValueError("sasl_mechanism, sasl_username and sasl_password belong together: give all, or none")
        if self.tls_ca_file is not None and not self.tls_enabled:
            raise ValueError("tls_ca_file has a meaning only with tls_enabled = true")
        return self


class WorkerEventsConfig(Section):
    """Whether worker events go to Kafka, and for how long they are kept for those who read them here."""

    enabled: bool = False
    progress_interval_secs: Seconds = 10.0
    log_hours: Annotated[float, BeforeValidator(no_boolean), Field(ge=0, le=24 * 366, allow_inf_nan=False)] = 24.0
    unsent_days: Days = 7.0
    max_streams: Count = 100
    kafka: KafkaConfig = KafkaConfig()

    @model_validator(mode="after")
    def _has_brokers(self) -> Self:
        if self.enabled and not self.kafka.brokers:
            raise ValueError('enabled = true needs kafka.brokers, such as ["localhost:9092"]')
        return self

    @property
    def recorded(self) -> bool:
        """Whether anybody wants events."""
        return self.enabled or self.log_hours > 0
