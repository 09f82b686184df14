"""What the robots of chat services take: a text in their form, and the signature that DingTalk and Feishu check."""

from __future__ import annotations

import base64
import hmac
from typing import Any, Literal
from urllib.parse import quote_plus

Form = Literal["json", "dingtalk", "wecom", "feishu"]


def body(text: str, form: Form) -> dict[str, Any]:
    """A text as a service of this form reads it."""
    match form:
        case "dingtalk" | "wecom":
            return {"msgtype": "text", "text": {"content": text}}
        case "feishu":
            return {"msg_type": "text", "content": {"text": text}}
    return {"text": text}


def signed(url: str, payload: dict[str, Any], form: Form, secret: str, now_s: float) -> tuple[str, dict[str, Any]]:
    """Address and payload with the signature that the robot's settings demand; it is valid for about an hour."""
    if form == "dingtalk":
        stamp = str(int(now_s * 1000))
        sign = _hmac(secret, f"{stamp}\n{secret}")
        return f"{url}{'&' if '?' in url else '?'}timestamp={stamp}&sign={quote_plus(sign)}", payload
    stamp = str(int(now_s))
    return url, {"timestamp": stamp, "sign": _hmac(f"{stamp}\n{secret}", ""), **payload}


def _hmac(key: str, message: str) -> str:
    return base64.b64encode(hmac.digest(key.encode(), message.encode(), "sha256")).decode("ascii")
