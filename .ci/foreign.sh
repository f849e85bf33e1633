#!/usr/bin/env bash
# Installs the foreign programs that test/foreign and `npm run bench -- store` drive into a folder
# of their own, and prints that folder, to be put in front of PATH. Nothing of the system is
# changed, and nothing is done for a program that is there already.
#
#   PATH="$(bash .ci/foreign.sh):$PATH"
#
# etcd and etcdctl 3.5 come from Debian trixie, whose packages run on any libc from 2.34 on; h2load,
# haproxy, prometheus, nft, conntrack and chromium from the system's own suite, unless the system has
# them; h2spec, grpc-go's interop client, the checker of Envoy's configuration, the checks of
# Kubernetes' own clients, helm, buf and the generators of Go code are built with Go; Python gets an
# environment of its own with gRPC's packages and generator.
set -euo pipefail
folder=${TRIREME_FOREIGN:-${XDG_CACHE_HOME:-$HOME/.cache}/trireme-foreign}
bin=$folder/bin
mkdir -p "$bin"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

say() { echo "foreign: $*" >&2; }

# Where this system gets its own packages from.
debian_mirror() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    grep -v '^ *#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' '
}

# apt with its own lists: `packages SUITE NAME...` unpacks packages of that suite below $work/root;
# `packages --whole SUITE NAME...` also what they depend on and the system does not have.
packages() {
  local whole=
  if [ "$1" = --whole ]; then
    whole=yes
    shift
  fi
  local suite=$1
  shift
  local lists=$folder/apt/$suite
  mkdir -p "$lists/sources" "$lists/state/lists/partial" "$lists/cache/archives/partial" "$work/debs"
  cat >"$lists/sources/suite.sources" <<SOURCES
Types: deb
URIs: $(debian_mirror)
Suites: $suite
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
  local options=(
    -qq -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$lists/sources"
    -o "Dir::State=$lists/state" -o "Dir::State::status=/var/lib/dpkg/status"
    -o "Dir::Cache=$lists/cache" -o "APT::Sandbox::User=" -o "Acquire::Retries=3"
  )
  apt-get "${options[@]}" update >&2
  if [ -n "$whole" ]; then
    apt-get "${options[@]}" -o "Dir::Cache::archives=$work/debs" -o Debug::NoLocking=true \
      install --download-only --no-install-recommends -y "$@" >&2
  else
    (cd "$work/debs" && apt-get "${options[@]}" download "$@" >&2)
  fi
  local package
  for package in "$work"/debs/*.deb; do dpkg -x "$package" "$work/root"; done
  rm -rf "$work/debs" "$lists/cache"
}

if ! [ -x "$bin/etcd" ] || ! [ -x "$bin/etcdctl" ]; then
  say "etcd and etcdctl"
  packages trixie etcd-server etcd-client
  install "$work/root/usr/bin/etcd" "$work/root/usr/bin/etcdctl" "$bin"
fi

# kubectl knows what the newest stable Debian has: 1.32.
if ! command -v kubectl >/dev/null && ! [ -x "$bin/kubectl" ]; then
  say "kubectl"
  packages trixie kubernetes-client
  install "$work/root/usr/bin/kubectl" "$bin"
fi

if ! command -v h2load >/dev/null && ! [ -x "$bin/h2load" ]; then
  say "h2load"
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  packages "$suite" nghttp2-client libnghttp2-14 libev4 libjemalloc2 libc-ares2
  mkdir -p "$folder/lib"
  cp -a "$work"/root/usr/lib/*/*.so* "$folder/lib"
  install "$work/root/usr/bin/h2load" "$folder/lib/h2load"
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$folder/lib" "$folder/lib/h2load" >"$bin/h2load"
  chmod 755 "$bin/h2load"
fi

if ! command -v haproxy >/dev/null && ! [ -x "$bin/haproxy" ]; then
  say "haproxy"
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  packages --whole "$suite" haproxy
  mkdir -p "$folder/haproxy"
  find "$work/root" -name '*.so*' -exec cp -a {} "$folder/haproxy" \;
  install "$work/root/usr/sbin/haproxy" "$folder/haproxy/haproxy"
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' \
    "$folder/haproxy" "$folder/haproxy/haproxy" >"$bin/haproxy"
  chmod 755 "$bin/haproxy"
fi

if ! command -v prometheus >/dev/null && ! [ -x "$bin/prometheus" ]; then
  say "prometheus"
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  packages "$suite" prometheus
  install "$work/root/usr/bin/prometheus" "$work/root/usr/bin/promtool" "$bin"
fi

# containerd with what it runs: its own programs, runc, the network plugins, and the iptables that
# one of those calls; and busybox, of which the tests make images.
if ! command -v containerd >/dev/null && ! [ -x "$bin/containerd" ]; then
  say "containerd"
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  rm -rf "$work/root" "$folder/containerd"
  packages "$suite" containerd runc containernetworking-plugins iptables libxtables12 libip4tc2 \
    libip6tc2 libnftnl11 libmnl0 busybox-static
  mv "$work/root" "$folder/containerd"
  root=$folder/containerd
  mkdir -p "$root/tables"
  for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -sf "$root/usr/sbin/xtables-nft-multi" "$root/tables/$name"
  done
  libraries=$(find "$root" -name '*.so*' -printf '%h\n' | grep -v xtables | sort -u | paste -sd :)
  extensions=$(find "$root" -type d -name xtables)
  printf '#!/bin/sh\nexport PATH=%q:"$PATH" LD_LIBRARY_PATH=%q XTABLES_LIBDIR=%q\nexec %q "$@"\n' \
    "$root/usr/bin:$root/usr/sbin:$root/tables" "$libraries" "$extensions" \
    "$root/usr/bin/containerd" >"$bin/containerd"
  chmod 755 "$bin/containerd"
  install "$root/usr/sbin/runc" "$bin/runc"
  command -v busybox >/dev/null || install "$root/bin/busybox" "$bin/busybox"
fi

# A whole browser with the libraries and the fonts that it needs, run from its own folder.
if ! command -v chromium >/dev/null && ! [ -x "$bin/chromium" ]; then
  say "chromium"
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  rm -rf "$work/root" "$folder/chromium"
  packages --whole "$suite" chromium fonts-dejavu-core
  mv "$work/root" "$folder/chromium"
  root=$folder/chromium
  cat >"$root/fonts.conf" <<FONTS
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>/usr/share/fonts</dir><dir>$root/usr/share/fonts</dir><cachedir>$root/font-cache</cachedir></fontconfig>
FONTS
  libraries=$(find "$root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd :)
  printf '#!/bin/sh\nFONTCONFIG_FILE=%q LD_LIBRARY_PATH=%q exec %q "$@"\n' \
    "$root/fonts.conf" "$libraries" "$root/usr/lib/chromium/chromium" >"$bin/chromium"
  chmod 755 "$bin/chromium"
fi

# Programs with the libraries that they need, run from a folder of their own.
for pair in nft:nftables conntrack:conntrack; do
  program=${pair%%:*}
  if command -v "$program" >/dev/null || [ -x "$bin/$program" ]; then continue; fi
  say "$program"
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  rm -rf "$work/root"
  packages --whole "$suite" "${pair#*:}"
  mkdir -p "$folder/netfilter"
  find "$work/root" -name '*.so*' -exec cp -a {} "$folder/netfilter" \;
  install "$work/root/usr/sbin/$program" "$folder/netfilter/$program"
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' \
    "$folder/netfilter" "$folder/netfilter/$program" >"$bin/$program"
  chmod 755 "$bin/$program"
done

if ! command -v h2spec >/dev/null && ! [ -x "$bin/h2spec" ]; then
  if command -v go >/dev/null; then
    say "h2spec"
    GOBIN=$bin go install github.com/summerwind/h2spec/cmd/h2spec@latest >&2
  else
    say "h2spec is left out: it takes Go to build it"
  fi
fi

if ! [ -x "$bin/grpc-interop-client" ]; then
  if command -v go >/dev/null; then
    say "grpc-go's interop client"
    GOBIN=$work go install google.golang.org/grpc/interop/client@v1.81.1 >&2
    install "$work/client" "$bin/grpc-interop-client"
  else
    say "grpc-go's interop client is left out: it takes Go to build it"
  fi
fi

# local_program NAME TEXT: a Go program of test/foreign/NAME, built again when its source is newer.
local_program() {
  local source
  source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../test/foreign/$1" && pwd)
  if [ -x "$bin/$1" ] && [ -z "$(find "$source" -newer "$bin/$1" -type f)" ]; then return; fi
  if command -v go >/dev/null; then
    say "$2"
    (cd "$source" && go build -o "$bin/$1" . >&2)
  else
    say "$2 is left out: it takes Go to build it"
  fi
}

local_program envoy-check "the checker of Envoy's configuration"
local_program kubernetes-clients "the checks of Kubernetes' own Go clients"

# go_program NAME PACKAGE@VERSION
go_program() {
  if [ -x "$bin/$1" ]; then return; fi
  if command -v go >/dev/null; then
    say "$1"
    GOBIN=$bin go install "$2" >&2
  else
    say "$1 is left out: it takes Go to build it"
  fi
}

go_program buf github.com/bufbuild/buf/cmd/buf@v1.75.0
go_program protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
go_program protoc-gen-go-grpc google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2

# Both programs are called helm.
for helm in v3.22.0 v4.3.2; do
  major=${helm%%.*}
  if [ -x "$bin/helm-$major" ]; then continue; fi
  go_program helm "helm.sh/helm/$major/cmd/helm@$helm"
  if [ -x "$bin/helm" ]; then mv "$bin/helm" "$bin/helm-$major"; fi
done

if ! [ -x "$bin/grpc-python" ]; then
  if python3 -c 'import venv, ensurepip' 2>/dev/null; then
    say "gRPC for Python"
    python3 -m venv "$folder/python"
    grpc=1.85.1
    "$folder/python/bin/pip" install --quiet --disable-pip-version-check "grpcio==$grpc" \
      "grpcio-tools==$grpc" "grpcio-status==$grpc" "grpcio-health-checking==$grpc" \
      "grpcio-reflection==$grpc" >&2
    printf '#!/bin/sh\nexec %q "$@"\n' "$folder/python/bin/python" >"$bin/grpc-python"
    chmod 755 "$bin/grpc-python"
  else
    say "gRPC for Python is left out: it takes Python 3 with venv"
  fi
fi

echo "$bin"
