"""A real S3 server on this machine: Ceph with a monitor, an object store in memory, and gateways with HTTP and TLS."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import re
import secrets
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.config
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.services.certificate import write_certificate
from tests.services.daemon import Daemon, environment, free_ports, listens, need, run

PACKAGES = "radosgw ceph-mon ceph-osd"
PROGRAMS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "monmaptool")

#: No authentication between the daemons, so no keyrings; `ms_mon_client_mode = crc` because radosgw otherwise asks for
#: a secure session with the monitor, which then can't be had, and hangs.
CONFIGURATION = """\
[global]
fsid = {fsid}
mon_initial_members = a
mon_host = [v2:127.0.0.1:{monitor_port},v1:127.0.0.1:{old_monitor_port}]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_port_min = {store_port}
ms_bind_port_max = {last_store_port}
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = {folder}
pid_file = {folder}/$type.$id.pid
admin_socket = {folder}/$name.$pid.asok
log_file = {folder}/$name.log
crash_dir = {folder}
keyring = {folder}/keyring
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 1000
[mon]
mon_data = {folder}/mon
mon_data_avail_crit = 1
mon_data_avail_warn = 2
mon_cluster_log_file = {folder}/cluster.log
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
[osd]
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_max_object_name_len = 1024
osd_class_dir = {classes}
[client]
rgw_data = {folder}/rgw
rgw_dns_name = localhost
rgw_ops_log_rados = false
ms_mon_client_mode = crc
rgw_sts_key = {sts_key}
"""

#: With what the gateway encrypts session tokens, besides the key (Ceph, src/auth/Crypto.cc).
TOKEN_VECTOR = b"cephsageyudagreg"

#: The expiry, in a decrypted session token the first of two times like this one.
TOKEN_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What one user of the store signs requests with."""

    user: str
    access_key: str
    secret_key: str
    #: Only with temporary credentials.
    session_token: str | None = None


class Rgw:
    """A running store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        monitor, old_monitor, http, https, sts, *store = free_ports(5 + 12)
        self._conf = ["-c", str(folder / "ceph.conf")]
        self._token_key = secrets.token_hex(8)
        self._configure(monitor, old_monitor, store)
        self._http, self._https, self._sts = http, https, sts
        self._env = environment()
        #: Where the store answers, without and with TLS; `ca` is the certificate to trust.
        self.endpoint = f"http://localhost:{http}"
        self.tls_endpoint = f"https://localhost:{https}"
        #: A second gateway's address, the only one that takes temporary credentials; see `temporary`.
        self.sts_endpoint = f"http://localhost:{sts}"
        self.ca = folder / "tls.crt"
        write_certificate(self.ca, folder / "tls.key")
        self._monitor = self._daemon("ceph-mon", "-i", "a")
        self._store = self._daemon("ceph-osd", "-i", "0")
        #: The process that speaks S3; what is stored is not in it.
        self.gateway = self._daemon("radosgw", "-n", "client.gateway", "--rgw-frontends", self._frontend())
        # A gateway with STS answers `AccessDenied` to whatever is wrong with a credential, so it is one of its own.
        self._sts_gateway = self._daemon(
            *("radosgw", "-n", "client.sts", "--rgw_s3_auth_use_sts=true"),
            *("--rgw-frontends", f"beast endpoint=127.0.0.1:{sts} tcp_nodelay=1"),
        )
        self._users: dict[str, Credentials] = {}

    def _configure(self, monitor: int, old_monitor: int, store: list[int]) -> None:
        for name in ("mon", "osd", "rgw"):
            (self.folder / name).mkdir()
        (self.folder / "keyring").touch()
        (self.folder / "ceph.conf").write_text(
            CONFIGURATION.format(
                fsid=uuid.uuid4(),
                folder=self.folder,
                monitor_port=monitor,
                old_monitor_port=old_monitor,
                store_port=store[0],
                last_store_port=store[-1],
                sts_key=self._token_key,
                # Debian 13's own value is relative to nowhere.
                classes=next(Path("/usr").glob("lib/*/rados-classes"), "/usr/lib/rados-classes"),
            )
        )

    def _frontend(self) -> str:
        """Describe the web server; without `tcp_nodelay` small answers take 40 ms longer."""
        return (
            f"beast endpoint=127.0.0.1:{self._http} ssl_endpoint=127.0.0.1:{self._https} "
            f"ssl_certificate={self.ca} ssl_private_key={self.folder / 'tls.key'} tcp_nodelay=1"
        )

    def _daemon(self, program: str, *arguments: str) -> Daemon:
        return Daemon([program, "-f", *self._conf, *arguments], log=self.folder / f"{program}.out", env=environment())

    def start(self) -> None:
        """Make an empty store and start all daemons."""
        fsid = self._command("ceph-conf", "--lookup", "fsid").strip()
        monitors = self._monitor_addresses()
        monmap = str(self.folder / "monmap")
        run(["monmaptool", "--create", "--fsid", fsid, "--addv", "a", monitors, monmap], env=self._env)
        self._command("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)
        self._monitor.start()
        store = str(uuid.uuid4())
        self._command("ceph", "--connect-timeout", "30", "osd", "new", store)
        self._command("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store)
        self._store.start()
        self._store.wait_for(self._store_is_up)
        self.start_gateway()

    def _store_is_up(self) -> bool:
        return bool(json.loads(self._command("ceph", "osd", "stat", "--format=json"))["num_up_osds"] == 1)

    def _monitor_addresses(self) -> str:
        return self._command("ceph-conf", "--lookup", "mon_host").strip()

    def _command(self, program: str, *arguments: str) -> str:
        return run([program, *self._conf, *arguments], env=self._env)

    def start_gateway(self) -> None:
        """Start the gateway, also after its end, and wait until it answers."""
        self.gateway.start()
        self.gateway.wait_for(lambda: listens(self._http) and listens(self._https), seconds=60)

    def user(self, name: str) -> Credentials:
        """Give the credentials of this user, who is made when asked for the first time."""
        if name not in self._users:
            created = self.admin("user", "create", "--uid", name, "--display-name", name)
            [key] = created["keys"]
            self._users[name] = Credentials(user=name, access_key=key["access_key"], secret_key=key["secret_key"])
        return self._users[name]

    def admin(self, *arguments: str) -> Any:
        """Run `radosgw-admin`; give its answer."""
        return json.loads(self._command("radosgw-admin", *arguments) or "null")

    def withdraw(self, credentials: Credentials) -> None:
        """Make a key invalid from now on."""
        self.admin("key", "rm", "--uid", credentials.user, "--access-key", credentials.access_key)
        self._users.pop(credentials.user, None)

    def temporary(self, credentials: Credentials, *, seconds: float) -> Credentials:
        """Give credentials of the same user that expire in so many seconds; they are for `sts_endpoint`.

        The server grants 15 minutes at least (as AWS does), so the expiry in the token it signs is set back here, with
        the server's own key.
        """
        if not listens(self._sts):
            self._sts_gateway.start()
            self._sts_gateway.wait_for(lambda: listens(self._sts))
        self.admin("caps", "add", "--uid", credentials.user, "--caps", "user-policy=*")
        allowed = {"Effect": "Allow", "Action": ["sts:GetSessionToken"], "Resource": ["*"]}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam, sts = (self.client(credentials, service=service, endpoint=self.sts_endpoint) for service in ("iam", "sts"))
        iam.put_user_policy(UserName=credentials.user, PolicyName="sts", PolicyDocument=policy)
        granted = sts.get_session_token()["Credentials"]
        cipher = Cipher(algorithms.AES(self._token_key.encode()), modes.CBC(TOKEN_VECTOR))
        decrypt, encrypt = cipher.decryptor(), cipher.encryptor()
        token = decrypt.update(base64.b64decode(granted["SessionToken"])) + decrypt.finalize()
        expiry = dt.datetime.now(tz=dt.UTC) + dt.timedelta(seconds=seconds)
        token = TOKEN_TIME.sub(f"{expiry:%Y-%m-%dT%H:%M:%S.%f}000Z".encode(), token, count=1)
        return Credentials(
            user=credentials.user,
            access_key=granted["AccessKeyId"],
            secret_key=granted["SecretAccessKey"],
            session_token=base64.b64encode(encrypt.update(token) + encrypt.finalize()).decode(),
        )

    def client(
        self, credentials: Credentials, *, endpoint: str | None = None, service: str = "s3", attempts: int = 1
    ) -> Any:
        """Give a boto3 client that makes at most `attempts` tries for one request; the usual endpoint is `endpoint`."""
        return boto3.client(
            service,
            endpoint_url=endpoint or (self.sts_endpoint if credentials.session_token else self.endpoint),
            verify=str(self.ca),
            region_name="default",
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            aws_session_token=credentials.session_token,
            config=botocore.config.Config(
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": attempts},
                connect_timeout=5,
                read_timeout=30,
                # This server answers 411 to the checksum trailers that boto3 sends over TLS by default.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def settings(self, credentials: Credentials, folder: Path) -> dict[str, Any]:
        """Give what `BucketSettings` needs to reach this server over TLS; the credentials are written into `folder`."""
        path = folder / f"{credentials.user}.credentials"
        path.touch(mode=0o600)
        lines = {"aws_access_key_id": credentials.access_key, "aws_secret_access_key": credentials.secret_key}
        path.write_text("[default]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items()))
        return {"kind": "s3", "endpoint": self.tls_endpoint, "ca_file": self.ca, "credentials_file": path}

    def bucket(self, owner: Credentials) -> str:
        """Make a bucket with a fresh name; give the name."""
        name = f"test-{secrets.token_hex(6)}"
        self.client(owner).create_bucket(Bucket=name)
        return name

    def close(self) -> None:
        """End all daemons; what was stored is gone."""
        for daemon in (self._sts_gateway, self.gateway, self._store, self._monitor):
            daemon.close()


@contextlib.contextmanager
def store() -> Iterator[Rgw]:
    """Run a store in a folder of its own."""
    need(*PROGRAMS, package=PACKAGES)
    folder = Path(tempfile.mkdtemp(prefix="heartbrain-rgw-"))
    rgw = Rgw(folder)
    try:
        rgw.start()
        yield rgw
    finally:
        rgw.close()
        shutil.rmtree(folder)
