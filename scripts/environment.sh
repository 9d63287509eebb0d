# Sourced by the scripts beside it: sets the checkout up, which is quick when nothing changed, and puts its tools first
# on PATH. Takes what scripts/setup takes: `source environment.sh --runtime` or `source environment.sh --test`.
# Fails when setting up does.

# A run starts a hundred processes: each would compile the program and its libraries anew.
unset PYTHONDONTWRITEBYTECODE
cd "$(dirname "${BASH_SOURCE[0]}")/.." && scripts/setup "$1" && export PATH="$PWD/.venv/bin:$PWD/.tools/bin:$PATH"
