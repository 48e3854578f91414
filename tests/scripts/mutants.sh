#!/usr/bin/env bash
# Does the simulation bite? Applies each deliberate bug of tests/mutants to a copy of the tree, builds, and runs worlds
# until one fails. Ends with an error if SEEDS worlds (400) find nothing wrong with one of them.
# Arguments: names of patches; none = all.
set -euo pipefail
cd "$(dirname "$0")/../.."
seeds=${SEEDS:-400}
home=$PWD
tree=$home/target/mutants/tree
export CARGO_TARGET_DIR=$home/target/mutants/build CARGO_PROFILE_DEV_DEBUG=0
simulate=$CARGO_TARGET_DIR/debug/fieldbook-simulate
worlds_seconds=1800

rm -rf "$tree"
mkdir -p "$tree"
# With the times of now: the last run's build holds a bug that the tree does not.
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [[ -e $file ]] && printf '%s\0' "$file"
done | tar --null --files-from=- -cf - | tar -xmf - -C "$tree"

build() { (cd "$tree" && cargo build --quiet -p fieldbook-tests --bin fieldbook-simulate); }

# The first failure among the seeds, as the simulation words it; nothing if all hold.
failure() {
    local said
    said=$(timeout "$worlds_seconds" "$simulate" --seeds "$seeds" 2>/dev/null) || true
    grep -m1 '^seed [0-9]* fails' <<<"$said" || true
}

build
found=$(failure)
[[ -z $found ]] || { echo "without any bug: $found"; exit 1; }

missed=0
printf '%-36s %6s  %s\n' bug seeds 'what was seen'
for patch in "$home"/tests/mutants/*.patch; do
    name=$(basename "$patch" .patch)
    [[ $# == 0 || " $* " == *" $name "* ]] || continue
    if ! patch --quiet --dry-run --strip=1 --directory="$tree" <"$patch" >/dev/null; then
        missed=$((missed + 1))
        printf '%-36s %6s  %s\n' "$name" - 'the patch does not apply any more: write it anew'
        continue
    fi
    patch --quiet --strip=1 --directory="$tree" --no-backup-if-mismatch <"$patch"
    found='' built=yes
    if build; then found=$(failure); else built=no; fi
    patch --quiet --reverse --strip=1 --directory="$tree" --no-backup-if-mismatch <"$patch"
    if [[ $built == no ]]; then
        missed=$((missed + 1))
        printf '%-36s %6s  %s\n' "$name" - 'does not build any more: write it anew'
    elif [[ -z $found ]]; then
        missed=$((missed + 1))
        printf '%-36s %6s  %s\n' "$name" "> $seeds" 'not found'
    else
        seed=$(sed 's/^seed \([0-9]*\) .*/\1/' <<<"$found")
        printf '%-36s %6s  %s\n' "$name" $((seed + 1)) "${found#*fails: }"
    fi
done
[[ $missed == 0 ]] || { echo "$missed not found"; exit 1; }
