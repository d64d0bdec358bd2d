# Sourced by the commands beside it: makes or completes .venv, then leaves $PYTHON.
# Needs Python 3.11 or newer with venv, and about 3 GB (8 GB where torch comes with CUDA libraries); takes half a minute
# with packages in the cache.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PYTHON="$ROOT/.venv/bin/python"
UV_VERSION=0.13.9
TORCH_VERSION=2.13.0

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

find_python() {
  local candidate
  for candidate in python3.11 python3.12 python3.13 python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  fail "expected Python 3.11 or newer, found $(python3 --version 2>&1 || echo none). Install python3.11 and python3.11-venv."
}

make_environment() {
  local python wanted stamp="$ROOT/.venv/.complete"
  wanted="$(cat "$ROOT/dev/requirements.txt" "$ROOT/pyproject.toml" "${BASH_SOURCE[0]}" | sha256sum | cut -d' ' -f1) $ROOT"
  [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0

  python="$(find_python)"
  # Told of no place with torch's CPU build, uv takes the ordinary one.
  local free_mb needed_gb=4 size="2 GB"
  if [ -z "${UV_FIND_LINKS:-}${PIP_FIND_LINKS:-}" ]; then
    needed_gb=9 size="8 GB: torch with CUDA libraries, as UV_FIND_LINKS names no place with its CPU build"
  fi
  free_mb=$(df -Pm "$ROOT" | awk 'NR == 2 {print $4}')
  [ "$free_mb" -ge "${needed_gb}000" ] || fail "expected $needed_gb GB of free disk for $ROOT/.venv ($size), found $free_mb MB. Free some space."
  echo "Making the environment in .venv ($size) ..."
  # A copied or moved checkout has scripts that name the old place.
  if [ -e "$stamp" ] && [ "$(cut -d' ' -f2- "$stamp")" != "$ROOT" ]; then rm -rf "$ROOT/.venv"; fi
  [ -x "$PYTHON" ] || "$python" -m venv "$ROOT/.venv" || fail "expected $python to make a virtual environment. Install its venv package."
  "$PYTHON" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
  # uv does not read pip's variable; where torch's CPU build lies may be told by it alone.
  export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}" VIRTUAL_ENV="$ROOT/.venv"
  [ -n "$UV_FIND_LINKS" ] || unset UV_FIND_LINKS
  "$ROOT/.venv/bin/uv" pip install --quiet --require-hashes -r "$ROOT/dev/requirements.txt"
  "$ROOT/.venv/bin/uv" pip install --quiet "torch==$TORCH_VERSION"
  "$ROOT/.venv/bin/uv" pip install --quiet --no-deps --editable "$ROOT"
  echo "$wanted" >"$stamp"
}

# Two commands started at once must not both install.
exec 9>"$ROOT/.environment.lock"
flock 9
make_environment
flock -u 9
exec 9>&-

# No part of this project, nor of what it stands on, reports home.
export PYTHONUNBUFFERED=1 DO_NOT_TRACK=1 SODA_CORE_TELEMETRY_ENABLED=false MLFLOW_DISABLE_TELEMETRY=true
export BENTOML_DO_NOT_TRACK=true AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=false
