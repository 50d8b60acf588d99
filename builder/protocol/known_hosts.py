"""The host keys of well-known git servers, whose fingerprints are published there."""

from __future__ import annotations

from builder.protocol.giturls import DEFAULT_PORTS, GitUrl

# https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/githubs-ssh-key-fingerprints
# https://docs.gitlab.com/user/gitlab_com/#ssh-host-keys-fingerprints
# https://support.atlassian.com/bitbucket-cloud/docs/configure-ssh-and-two-step-verification/
# https://docs.codeberg.org/security/ssh-fingerprint/
# https://man.sr.ht/git.sr.ht/
KNOWN_HOSTS = (
    "github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
    "gitlab.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf",
    "bitbucket.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIazEu89wgQZ4bqs3d63QSMzYVa0MuJ2e2gKTKqu+UUO",
    "codeberg.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIVIC02vnjFyL+I4RHfvIGNtOgJMe769VTF1VR4EB3ZB",
    "git.sr.ht ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMZvRd4EtM7R+IHVMWmDkVU3VLQTSwQDSAvW0t2Tkj60",
)


def host_name(url: GitUrl) -> str:
    """The server of an ssh URL, as a known_hosts file names it."""
    return url.host if url.port == DEFAULT_PORTS["ssh"] else f"[{url.host}]:{url.port}"
