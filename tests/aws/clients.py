"""boto3 clients of one endpoint, as the root user of its account."""

import threading

import boto3
from botocore.config import Config

ACCOUNT = "123456789012"
REGION = "us-west-2"


class Clients:
    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.made = {}
        # Making one is not safe in several threads; using one is.
        self.lock = threading.Lock()

    def of(self, service):
        with self.lock:
            if service not in self.made:
                self.made[service] = boto3.client(
                    service,
                    endpoint_url=self.endpoint,
                    region_name=REGION,
                    aws_access_key_id="test",
                    aws_secret_access_key="test",
                    config=Config(
                        retries={"total_max_attempts": 1}, read_timeout=120, s3={"addressing_style": "path"}
                    ),
                )
            return self.made[service]
