"""Signatures of webhooks by others, and keyed digests by Python's standard library.

standardwebhooks 1.1.0 (Webhook.sign), the construction of MLflow 3.17.2 (mlflow/webhooks/delivery.py,
_generate_hmac_signature) through Python's hmac. Run: python monitor_webhook.py > monitor_webhook.json
"""

import base64
import datetime
import hashlib
import hmac
import json

from standardwebhooks.webhooks import Webhook

BODIES = ["{}", '{"test": 2432232314}', '{"text": "é\\u202e家族"}', "x" * 200]
SECRETS = [24, 32, 63, 64]

standard = []
for n, length in enumerate(SECRETS):
    secret = "whsec_" + base64.b64encode(bytes((7 * i + n) % 256 for i in range(length))).decode()
    for m, body in enumerate(BODIES):
        message, at = f"msg_{n}{m}", 1_767_225_600 + m
        signed = Webhook(secret).sign(message, datetime.datetime.fromtimestamp(at, datetime.timezone.utc), body)
        standard.append({"secret": secret, "id": message, "timestamp": at, "body": body, "signature": signed})

mlflow = []
for secret in ["s", "a secret", "k" * 64, "k" * 65, "k" * 200, "pässwörd"]:
    for m, body in enumerate(BODIES):
        delivery, at = f"delivery-{m}", str(1_767_225_600 + m)
        digest = hmac.new(secret.encode(), f"{delivery}.{at}.{body}".encode(), hashlib.sha256).digest()
        signature = "v1," + base64.b64encode(digest).decode()
        mlflow.append({"secret": secret, "id": delivery, "timestamp": at, "body": body, "signature": signature})

print(json.dumps({"standard_webhooks": standard, "mlflow": mlflow}, indent=1))
