"""Make the bucket that MLflow's artifacts go to, unless it is there: `python make_bucket.py NAME`.

The store is named by MLFLOW_S3_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
"""

import os
import sys

import boto3


def main(name: str) -> None:
    """Ends with an error while the store does not answer; it is then tried again."""
    store = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
    if name not in {bucket["Name"] for bucket in store.list_buckets()["Buckets"]}:
        store.create_bucket(Bucket=name)


if __name__ == "__main__":
    main(*sys.argv[1:])
