#!/bin/bash
# The main job on the demo world: make data, start the service, queue two experiments (the
# LLaVA baseline and SEA), wait, print the leaderboard. A second run finds everything cached.
#
# DEMO_DIR: where data and database live (build/demo). DEMO_KEEP=1: leave the service running.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${DEMO_DIR:-build/demo}
sea=build/sea
start=$(date +%s)
say() { printf '\n== %s\n' "$*"; }

cores=$(nproc)
workers=1
[ "$cores" -lt 2 ] || workers=2

say "1. The demo world: pictures, captions, questions ($dir/data)"
$sea data scenes --out "$dir/data" --train 3000 --eval 200 --kinds 40 --seed 1

say "2. The service: a private PostgreSQL, a scheduler, $workers workers ($dir/service)"
export SEA_DATA=$dir/service
trap '[ "${DEMO_KEEP:-0}" = 1 ] || $sea down' EXIT
$sea up --workers "$workers" --device "cpu:$(( cores / workers ))"

say "3. The experiment: configs/experiments/scenes-demo.yaml"
$sea submit configs/experiments/scenes-demo.yaml --wait

say "4. The leaderboard"
$sea leaderboard --suite scenes
$sea compare --last

printf '\nThis took %d s.\n' "$(( $(date +%s) - start ))"
