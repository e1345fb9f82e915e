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

# One worker per arm when there are cores for two; results do not depend on it.
cores=$(nproc)
workers=1
[ "$cores" -lt 2 ] || workers=2

say "1. The demo world: pictures, captions, questions ($dir/data)"
$sea data scenes --out "$dir/data" --train 3000 --eval 200 --kinds 40 --seed 1

say "2. The service: a private PostgreSQL, a scheduler, $workers workers ($dir/service)"
export SEA_DATA=$dir/service
trap '[ "${DEMO_KEEP:-0}" = 1 ] || $sea down' EXIT
up=$($sea up --workers "$workers" --device "cpu:$(( cores / workers ))")
echo "$up"
url=$(echo "$up" | sed -n 's/^postgresql: //p')

say "3. The experiment: configs/experiments/scenes-demo.yaml, lambda 0 (LLaVA) and 1 (SEA)"
$sea submit configs/experiments/scenes-demo.yaml --wait

say "4. The leaderboard (control: the same model, pictures shuffled among the questions)"
$sea leaderboard

say "5. The baseline (A) against SEA (B) on the same questions, paired"
$sea compare --last

say "6. What patches and visual tokens say on held-out scenes (shuffled: of other pictures)"
psql "$url" -q -P footer=off <<'SQL'
SELECT DISTINCT m.stage, m.name AS figure,
       CASE WHEN m.stage IN ('align', 'tune', 'eval')
            THEN e.config #>> '{stages,align,lambda}' END AS lambda,
       round(m.value::numeric, 4) AS value
  FROM sea.metric_series AS m
  JOIN sea.experiment AS e ON e.id = m.experiment_id
 WHERE m.name IN ('foundation.text_yes_no_accuracy', 'foundation.clip_recall_at_1',
                  'align.readout_hit', 'align.readout_hit_shuffled')
    OR m.name LIKE 'label.%.object_top1%'
 ORDER BY 1 DESC, 2, 3;
SQL

# The store keeps files by their SHA-256; the manifest knows their names.
mkdir -p "$dir/overlays"
psql "$url" -q -At -F ' ' -c "SELECT DISTINCT path, sha256 FROM sea.manifest
     WHERE path LIKE 'overlays/%.png'" |
while read -r path sha; do
    cp -f "$dir/service/store/${sha:0:2}/$sha" "$dir/$path"
done

say "Where to go next"
cat <<NEXT
  SEA_DATA=$dir/service $sea up           the service again; results are kept
  psql "$url"
      SELECT * FROM sea.leaderboard;      every score
      SELECT step, value FROM sea.metric_series WHERE experiment_id = 2 AND name = 'align.loss_words';
  $dir/overlays/*.png                     pictures with the best word of each patch
  docs/quickstart.md                      step by step, and your own data
  configs/experiments/scenes-study.yaml   150 kinds, several seeds, lambda and tau swept
NEXT
printf '\nThis took %d s.\n' "$(( $(date +%s) - start ))"
