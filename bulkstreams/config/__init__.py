"""Flags, environment and file → frozen settings; what a line's tenant means."""

from bulkstreams.config.credentials import TOKEN_VARIABLES
from bulkstreams.config.settings import SANDBOX, Settings, default_ledger, load
from bulkstreams.config.sources import Flags
from bulkstreams.config.tenants import ClientSecret, Credentials, PrivateKeyJwt, Rate, Tenant, Token

__all__ = [
    "SANDBOX",
    "TOKEN_VARIABLES",
    "ClientSecret",
    "Credentials",
    "Flags",
    "PrivateKeyJwt",
    "Rate",
    "Settings",
    "Tenant",
    "Token",
    "default_ledger",
    "load",
]
