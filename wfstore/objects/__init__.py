"""Object storage (S3, GCS, Azure, memory) as this package needs it: few operations, safe to repeat, errors of our tree.

The only place that imports `obstore`. What the objects mean is not known here.
"""

from wfstore.objects.bucket import Bucket, Entry
from wfstore.objects.connect import bucket_of
from wfstore.objects.probe import prove_put_if_absent
from wfstore.objects.uri import is_uri, parse

__all__ = ["Bucket", "Entry", "bucket_of", "is_uri", "parse", "prove_put_if_absent"]
