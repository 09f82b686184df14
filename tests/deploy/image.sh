#!/usr/bin/env bash
# Builds the image by its recipe, and runs it against a stand-in server as compose.yaml has it (contained.sh): its root
# read-only, as its own user, without any capability. `make image-test`; BASE_IMAGE=... takes another base. Without a
# registry of images the base is made from Debian's packages. Says `skipped: why` where this machine cannot do it.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
skip() { echo "skipped: $1"; exit 0; }

command -v buildah >/dev/null || skip "buildah is not installed"
[ "$(id -u)" = 0 ] || skip "it needs root"
work=$(mktemp -d) || exit 1
fast=$work/storage; mkdir "$fast"
[ -w /dev/shm ] && fast=$(mktemp -d -p /dev/shm)       # images are many small files
export BUILDAH_ISOLATION=chroot
storage=(--root "$fast/images" --runroot "$fast/run" --storage-driver vfs)
run() { buildah "${storage[@]}" "$@"; }
server='' daemon=''
finish() {
    # shellcheck disable=SC2046 - numbers; unshare itself does not end by a signal
    [ -z "$daemon$server" ] || kill $([ -z "$daemon" ] || pgrep -P "$daemon") $server 2>/dev/null || true
    run rm --all >/dev/null 2>&1 || true
    rm -rf "$fast" "$work"
}
trap finish EXIT
unshare --mount --pid --fork --kill-child true 2>/dev/null || skip "no namespaces can be made here"
echo 'FROM scratch' | run bud --quiet -f - "$work" >/dev/null 2>&1 || skip "buildah cannot build here"

base=${BASE_IMAGE:-docker.io/library/python:3.11-slim-bookworm}
if ! timeout 60 buildah "${storage[@]}" pull --quiet "$base" >/dev/null 2>&1; then
    [ -z "${BASE_IMAGE:-}" ] || { echo "$base cannot be had"; exit 1; }
    command -v debootstrap >/dev/null || skip "no registry of images is reached, and debootstrap is not installed"
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' | awk '$2 == "bookworm" {print $1; exit}')
    [ -n "$mirror" ] || skip "no registry of images is reached, and no Debian bookworm is configured"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$fast/debian" "$mirror" >"$work/log" 2>&1 ||
        { tail -3 "$work/log"; skip "debootstrap failed"; }
    printf 'FROM scratch\nCOPY . /\n' >"$work/Base"
    run bud --quiet -f "$work/Base" -t localhost/debian-python "$fast/debian" >/dev/null
    rm -rf "$fast/debian"
    base=localhost/debian-python
fi
echo "base: $base"

# Whatever this machine's pip is told (a mirror, certificates) holds for the build, and stays out of the image.
pip=()
for file in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt "$("$python" -c 'import sys; print(sys.base_prefix)')/pip.conf"; do
    [ -f "$file" ] && pip+=(--volume "$file:$([[ $file == *.crt ]] && echo "$file" || echo /etc/pip.conf):ro")
done
for name in $(compgen -e | grep '^PIP_' || true); do pip+=(--env "$name=${!name}" --unsetenv "$name"); done
for folder in $("$python" -m pip config list 2>/dev/null | grep -o "/opt/[A-Za-z0-9_-]*" | sort -u); do
    [ -d "$folder" ] && pip+=(--volume "$folder:$folder:ro")
done
run bud --quiet "${pip[@]}" --format docker --build-arg "BASE_IMAGE=$base" -f deploy/container/Dockerfile -t localhost/archiver . >/dev/null
inspected=$(run inspect --type image localhost/archiver)
for wanted in '"User": "65532:65532"' '"ARCHIVER_CONFIG=/etc/archiver/config.toml"' '/healthz' '"run"'; do
    grep -qF -- "$wanted" <<<"$inspected" || { echo "the image lacks $wanted"; exit 1; }
done

"$python" -m archiver sandbox --messages 100 >"$work/server" &
server=$!
for _ in $(seq 100); do [ -s "$work/server" ] && break; sleep 0.1; done
read_key() { "$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/server" "$1"; }
free_port() { "$python" -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])'; }
receiver=$(free_port) page=$(free_port)
install -d -m 0755 "$work/etc" && install -d -o 65532 -m 0700 "$work/state" && chmod 0755 "$work"
cat >"$work/etc/config.toml" <<CONFIG
[database]
url = "sqlite:////var/lib/archiver/archive.db"
[schedule]
every = "1s"
[metrics]
listen = "127.0.0.1:9473"
[attachments]
store = "file:///var/lib/archiver/attachments"
[[apps]]
org = "$(read_key org)"
app = "$(read_key app)"
base_url = "$(read_key base_url)"
client_id = "$(read_key client_id)"
client_secret_file = "secret"
start = $(read_key start)
rate = "1000/s"
[callbacks]
spool = "/var/lib/archiver/callbacks"
listen = "127.0.0.1:$receiver"
[[callbacks.apps]]
app = "$(read_key org)#$(read_key app)"
alias = "support"
token_file = "token"
secrets_file = "rules"
[review]
listen = "127.0.0.1:$page"
url = "https://review.example.com"
secret_file = "proxy"
readers = ["readers"]
CONFIG
read_key client_secret >"$work/etc/secret"
token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
echo "$token" >"$work/etc/token"
echo "rule's secret" >"$work/etc/rules"
echo "0123456789abcdef0123456789abcdef" >"$work/etc/proxy"
chown 65532 "$work"/etc/{secret,token,rules,proxy} && chmod 0400 "$work"/etc/{secret,token,rules,proxy}

# What a container runtime would take from the image: its variables, its command, its health check.
of_image() { "$python" -c "import json, sys; print(*json.load(sys.stdin)['Docker']['config']$1, sep='\n')" <<<"$inspected"; }
IMAGE_ENV=$(of_image '["Env"]') && export IMAGE_ENV
mapfile -t entrypoint < <(of_image '["Entrypoint"]')
mapfile -t command < <(of_image '["Cmd"]')
mapfile -t health < <(of_image '["Healthcheck"]["Test"][1:]')

root=$(run mount "$(run from localhost/archiver)")
mkdir "$work/tmp" "$root/etc/archiver" && chmod 1777 "$work/tmp" && touch "$work/before"
contained=(tests/deploy/contained.sh "$root" "$work/etc" "$work/state" "$work/tmp")
within() { "${contained[@]}" "${entrypoint[@]}" "$@"; }
"${contained[@]}" python3 - <<'PYTHON'
import errno, os, pathlib
facts = dict(line.split(":\t") for line in pathlib.Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
assert (os.getuid(), os.getgid(), facts["NoNewPrivs"]) == (65532, 65532, "1"), facts
assert all(int(facts[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")), facts
for folder in ("/", "/etc/archiver", "/opt/archiver", "/var/tmp", "/dev", "/run"):
    try:
        pathlib.Path(folder, "x").touch()
    except OSError as error:
        assert error.errno == errno.EROFS, error
    else:
        raise SystemExit(f"{folder} can be written to")
PYTHON

within migrate
within pull
IMAGE_ENV+=$'\nARCHIVER_APPS__0__SOURCE=hourly' within pull      # downloads whole files
within attachments
"${contained[@]}" "${entrypoint[@]}" "${command[@]}" &
daemon=$!
for _ in $(seq 50); do "${contained[@]}" "${health[@]}" 2>/dev/null && healthy=yes && break; sleep 0.2; done
[ "${healthy:-}" = yes ] || { echo "the daemon in the container did not answer its health check"; exit 1; }
kill -TERM "$(pgrep -P "$daemon")"
wait "$daemon" || { echo "the daemon ended with $?"; exit 1; }
daemon=''

# Compose's other services: the receiver, whose callback the next pull reads in, and the page, which sends a proxy's visitor to its sign-in.
ask() { "$python" - "$@" <<'PYTHON'
import http.client, sys, time
port, method, path, wanted, *headers = sys.argv[1:]
for _ in range(100):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=5)
        connection.request(method, path, b'{"callId": "x"}' if method == "POST" else None, dict(h.split("=", 1) for h in headers))
        status = connection.getresponse().status
        break
    except ConnectionRefusedError:
        time.sleep(0.2)
else:
    raise SystemExit(f"nobody listens on port {port}")
if status != int(wanted):
    raise SystemExit(f"port {port}: {status} instead of {wanted}")
PYTHON
}
serve() {
    "${contained[@]}" "${entrypoint[@]}" "$1" 2>"$work/log" &
    daemon=$!
    ask "${@:2}" || { cat "$work/log"; exit 1; }
    kill -TERM "$(pgrep -P "$daemon")"
    code=0; wait "$daemon" || code=$?
    [ "$code" = 0 ] || { cat "$work/log"; echo "$1 ended with $code"; exit 1; }
    daemon=''
}
serve receive "$receiver" POST "/callback/support/$token" 200
within pull
events=$("$python" -c 'import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM events").fetchone())' "$work/state/archive.db")
[ "$events" = 1 ] || { echo "the callback of the container's receiver is not there"; exit 1; }
serve review "$page" GET / 303 Host=review.example.com X-Forwarded-User=li X-Forwarded-Groups=readers \
    X-Archiver-Proxy=0123456789abcdef0123456789abcdef

# What records who did it: neither number has a name in the image. The second is as OpenShift gives them out, on a volume
# of the image's own folder, whose group is 0.
who() { "$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["who"])' "$1/out/manifest.json"; }
within export --format jsonl --output out --attachments --reason test
[ "$(who "$work/state")" = 65532 ] || { echo "an export by 65532 names another"; exit 1; }
[ "$(stat -c '%u:%g %a' "$root/var/lib/archiver")" = "65532:0 770" ] || { echo "an arbitrary uid has no folder"; exit 1; }
install -d -o 65532 -g 0 -m 0770 "$work/other"
chmod 0444 "$work/etc/secret"
elsewhere_than_root=(tests/deploy/contained.sh "$root" "$work/etc" "$work/other" "$work/tmp" "${entrypoint[@]}")
for command_line in migrate pull "export --format jsonl --output out" \
    "coverage accept --from 2020-01-01T00:00:00Z --to 2020-01-02T00:00:00Z --reason test"; do
    code=0
    # shellcheck disable=SC2086 - its words are arguments
    AS_USER=1000650000:0 "${elsewhere_than_root[@]}" $command_line 2>"$work/log" || code=$?
    case $command_line in coverage*) want=2 ;; *) want=0 ;; esac   # there is no hole, which it says
    [ "$code" = "$want" ] && ! grep -q Traceback "$work/log" || { cat "$work/log"; echo "1000650000: $command_line: $code"; exit 1; }
done
[ "$(who "$work/other")" = 1000650000 ] || { echo "an export by 1000650000 names another"; exit 1; }
loose=$(find "$work/state" "$work/other" -mindepth 1 -perm /077)
[ -z "$loose" ] || { echo "others may read:" "$loose"; exit 1; }

told=$(within status --format json | "$python" -c '
import json, sys
found = {each["source"]: each for each in json.load(sys.stdin)["apps"]}
print(found["cursor"]["messages"], found["hourly"]["windows"]["closed"] > 0, found["cursor"]["attachments"]["stored"] > 0)')
[ "$told" = "100 True True" ] || { echo "messages, hours and attachments: $told instead of 100 True True"; exit 1; }
elsewhere=$(find "$root" -xdev -newer "$work/before"; find "$work/tmp" "$work/etc" -mindepth 1 -newer "$work/before")
[ -z "$elsewhere" ] || { echo "written, and not below /var/lib/archiver:" "$elsewhere"; exit 1; }
echo "the image was built and run, read-only, as 65532 and as 1000650000, without capabilities: 100 messages, files, healthy; written:"
(cd "$work/state" && ls -A)
