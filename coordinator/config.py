"""The settings: one prefix, `AMENDS_`, one page. Read by `app` and `cli` only."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Everything that can be set. The defaults are the embedded mode: one process, one file, loopback only."""

    model_config = SettingsConfigDict(env_prefix="AMENDS_", extra="ignore")

    database_url: str = Field(default="sqlite:///.amends/amends.db", description="postgresql://… or sqlite:///file")
    broker_url: str = Field(default="local:", description="amqp://…, or local: for the broker in this process")
    broker_participant_user: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]*\{participant\}[A-Za-z0-9._-]*$",
        max_length=100,
        description="who replies must come from, such as amends-{participant}: `amends broker setup`; none: anybody",
    )
    reply_secret: SecretStr | None = Field(
        default=None,
        min_length=32,
        max_length=1000,
        description="what proves that a reply's sender got the command; new,old while it changes; none: no proof asked",
    )
    host: str = Field(default="127.0.0.1", description="the address to listen on")
    port: int = Field(default=8274, ge=0, le=65535, description="the port to listen on; 0: any that is free")
    public_url: str | None = Field(default=None, description="where others reach this API, if not at host and port")
    base_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        max_length=200,
        description="the path under which a proxy shows it, such as /amends; none: /",
    )
    jaeger_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s{}]+$",
        max_length=500,
        description="where Jaeger's pages are, such as http://localhost:16686; the dashboard links traces to it",
    )
    log_format: Literal["text", "json"] = Field(default="text", description="how log lines are written")
    log_level: str = Field(default="INFO", description="the least level that is logged")
    engine_lanes: int = Field(
        default=2, ge=1, le=16, description="transactions of the engine at a time (SQLite: always 1)"
    )
    lease_seconds: float = Field(
        default=10.0, ge=1.0, le=3600.0, description="how long a process that died keeps its commands from the others"
    )
    outbox_rows_max: int = Field(
        default=50_000, ge=100, le=10_000_000, description="commands that may wait to be sent before starts are refused"
    )
    retention_days: float = Field(
        default=90.0, ge=0, le=36_500, description="how long sagas are kept once they have ended; 0: for ever"
    )
    migrate: bool = Field(default=True, description="bring the database's schema up to date at the start")
    notifications_private: bool = Field(
        default=False, description="webhooks may go by http to any port of any address: for development"
    )
    allowed_hosts: str = Field(
        default="", description="names by which it answers where nobody is asked who they are, beside localhost"
    )
    plaintext_to: str = Field(
        default="", description="hosts that are spoken to unencrypted, with commas between them; none: this machine"
    )
    oidc_issuer: str | None = Field(default=None, description="the identity provider whose tokens are believed")
    oidc_audience: str | None = Field(default=None, description="whom its tokens must be meant for")
    oidc_jwks_url: str | None = Field(default=None, description="where its keys are; none: where it says itself")
    oidc_roles_claim: str = Field(default="roles", description="the claim that gives roles; dots lead into objects")
    oidc_name_claim: str = Field(default="sub", description="the claim that says who somebody is")
    oidc_roles: dict[str, Literal["viewer", "operator", "admin", "payloads"]] = Field(
        default={name: name for name in ("viewer", "operator", "admin", "payloads")},
        description="what the claim's values mean here, as JSON",
    )
    metrics_open: bool = Field(default=True, description="/metrics is for everybody; else for viewers")
    audit_days: int = Field(
        default=400, ge=31, le=36500, description="days for which it is kept who asked for what; at least 31"
    )
    rate_per_second: float = Field(
        default=1000.0, ge=0, le=1e6, description="requests of one key, or one address without; 0: any number"
    )
    diagnosis: bool = Field(default=True, description="watch what fails, and explain it")
    diagnosis_heal: Literal["off", "shadow", "auto"] = Field(
        default="shadow", description="what is done about it without a person: nothing, nothing but notes, what is safe"
    )
    diagnosis_model: str | None = Field(
        default=None, description="the language model that words reports; none: rules do"
    )
    diagnosis_base_url: str | None = Field(
        default=None, description="where that model is: any server that speaks OpenAI's way; none: OpenAI"
    )
    diagnosis_api_key: SecretStr | None = Field(
        default=None, description="the key for it; a server of your own may need none"
    )
    diagnosis_model_api: Literal["chat", "responses"] = Field(
        default="chat", description="which API of the model's server is used"
    )
    diagnosis_model_when: Literal["off", "ambiguous", "always", "on_demand"] = Field(
        default="ambiguous", description="which reports the model words; on_demand: those a person refreshes"
    )
    diagnosis_egress: Literal["none", "templates", "redacted"] = Field(
        default="templates",
        description="what the model gets: nothing, facts, or redacted error texts too",
    )
    otlp_endpoint: str | None = Field(
        default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT", description="where spans go; none: nowhere"
    )

    @property
    def embedded_broker(self) -> bool:
        return self.broker_url.startswith("local")
