"""Certificates: the store's own CA, and the server certificates that it signs.

The CA may only vouch for ``localhost`` and loopback addresses, and for the one host that a server was told to answer at
(name constraints), its key is thrown away, and only processes that get our variables trust it; the system's trust store
is never touched.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from azureml_local.storage.folder import write_private
from azureml_local.trust import Trust, replace, trusting

LIFETIME = datetime.timedelta(days=397)
RENEW_BEFORE = datetime.timedelta(days=30)
# Long past: to a clock that was set back a certificate must not be one that isn't valid yet.
VALID_FROM = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
SLACK = datetime.timedelta(days=1)
NAMES: list[x509.GeneralName] = [
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
]
PERMITTED: list[x509.GeneralName] = [
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_network("127.0.0.0/8")),
    x509.IPAddress(ipaddress.ip_network("::1/128")),
]


class Certificates:
    """The store's certificate files, made or renewed when they are needed."""

    def __init__(self, folder: Path, inherited_bundle: str | None = None, host: str = "localhost") -> None:
        self._folder = folder
        self._host = host
        self._inherited = inherited_bundle
        self.ca = folder / "ca.pem"
        self.server = folder / "server.pem"  # key and certificate
        self._context: ssl.SSLContext | None = None
        self._good: tuple[datetime.datetime, datetime.datetime] | None = None  # from when and until when

    def ensure(self) -> Trust:
        """Make what is missing or about to expire; renew what clients trust."""
        if not self.are_good():
            self._issue()
        return trusting(self._folder, self.ca.read_bytes(), self._inherited)

    def context(self) -> ssl.SSLContext:
        """What a server's connections are made with, for as long as it runs.

        Each handshake looks whether the certificate is still good, so that a server which runs for a year, or whose
        clock steps by one, goes on with a new one. Clients read what they trust for each connection, and find it.
        """
        context = self._current()

        def renew(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            connection.context = self._current()

        context.sni_callback = renew
        return context

    def _current(self) -> ssl.SSLContext:
        moment = datetime.datetime.now(datetime.timezone.utc)
        if self._context is None or self._good is None or not self._good[0] <= moment < self._good[1]:
            self.ensure()
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._context.load_cert_chain(self.server)
            leaf = x509.load_pem_x509_certificate(self.server.read_bytes())
            self._good = leaf.not_valid_before_utc, leaf.not_valid_after_utc - RENEW_BEFORE
        return self._context

    def are_good(self) -> bool:
        """Whether both files are whole, belong together, and are good for a while."""
        try:
            ca = x509.load_pem_x509_certificate(self.ca.read_bytes())
            pem = self.server.read_bytes()
            leaf = x509.load_pem_x509_certificate(pem)
            key = serialization.load_pem_private_key(pem, password=None)
            leaf.verify_directly_issued_by(ca)
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (FileNotFoundError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        if _name(self._host) not in names or key.public_key() != leaf.public_key():
            return False
        moment = datetime.datetime.now(datetime.timezone.utc)
        begins = max(ca.not_valid_before_utc, leaf.not_valid_before_utc)
        ends = min(ca.not_valid_after_utc, leaf.not_valid_after_utc)
        return begins <= moment < ends - RENEW_BEFORE

    def _issue(self) -> None:
        ca_key = ec.generate_private_key(ec.SECP256R1())
        ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _common_name(self._folder.parent))])
        permitted = list(dict.fromkeys([*PERMITTED, _subtree(self._host)]))
        constraints = x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None)
        ca = (
            _builder(ca_name, ca_name, ca_key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(constraints, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        key = ec.generate_private_key(ec.SECP256R1())
        names = list(dict.fromkeys([*NAMES, _name(self._host)]))
        leaf_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        leaf = (
            _builder(leaf_name, ca_name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        # The CA's key is not kept: nothing will ever be signed with it again. A renewal makes a new CA.
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(self.server, (pem + leaf.public_bytes(serialization.Encoding.PEM)).decode())
        replace(self.ca, ca.public_bytes(serialization.Encoding.PEM))


def _common_name(folder: Path) -> str:
    """What a list of authorities shows: whose this one is, in at most 64 bytes (RFC 5280, ub-common-name)."""
    # A path may hold bytes that are no UTF-8, which are surrogates in Python.
    name = f"azureml-local {folder}".encode("utf-8", "replace")[:64]
    return name.decode("utf-8", "ignore")


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _subtree(host: str) -> x509.GeneralName:
    """What permits this host and no other."""
    try:
        return x509.IPAddress(ipaddress.ip_network(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    moment = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(VALID_FROM, moment - SLACK))
        .not_valid_after(moment + LIFETIME)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
