"""Addresses that hold a secret: told, and blotted out of every text that is shown.

A secret in a space would end up in its study's database, in recipes and in reports. Knows nothing
of how an address is reached.
"""

from __future__ import annotations

import re

HIDDEN = "***"

_USER = re.compile(r"(?<=://)[^\s/@:'\"]*:[^\s/@'\"]*(?=@)")
_QUERY = re.compile(
    r"(?i)(?<=[?&;])(sig|signature|x-amz-signature|x-amz-credential|x-amz-security-token|"
    r"x-goog-signature|x-goog-credential|access_?key(?:id)?|account_?key|awsaccesskeyid|secret|"
    r"password|pwd|token|api_?key|sas)=([^&;\s'\"]+)"
)
_SETTING = re.compile(
    r"(?i)\b(AccountKey|SharedAccessSignature|aws_secret_access_key|sas_token|Authorization)"
    r"(\s*[=:]\s*)([^\s;'\"]+)"
)


def holds_secret(address: str) -> bool:
    """Whether an address has a password, a signature or a token in it."""
    return redacted(address) != address


def redacted(text: str) -> str:
    """The text with `***` for passwords, signatures and tokens of the addresses in it."""
    text = _USER.sub(HIDDEN, text)
    text = _QUERY.sub(rf"\1={HIDDEN}", text)
    return _SETTING.sub(rf"\1\2{HIDDEN}", text)
